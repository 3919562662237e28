import t from 'tap'
import { parseRoomId } from '../../ids.ts'
import { CHUNK_BYTES, CHUNK_EVENTS, chunksOf, eachOf } from './chunks.ts'
import { countOf, historyKey, lastOf } from './keys.ts'

const A = parseRoomId('gaaaaaaaaaaaaaaaaaaaaa')!
const B = parseRoomId('gbbbbbbbbbbbbbbbbbbbbb')!
const row = (room: typeof A, seq: number, bytes = 20) => ({
  room,
  seq,
  frame: new Uint8Array(bytes).fill(seq),
})
const rows = (room: typeof A, first: number, count: number, bytes?: number) =>
  Array.from({ length: count }, (_, n) => row(room, first + n, bytes))
/** The first and last seq of each row, sorted. */
const spans = (writes: ReturnType<typeof chunksOf>) =>
  writes
    .map(({ key }) => [lastOf(key) - countOf(key) + 1, lastOf(key)] as const)
    .sort(([a], [b]) => a - b)

t.test('what is consecutive is one row, whatever comes between', async (t) => {
  const batch = rows(A, 1, 19).flatMap((it) => [it, row(B, it.seq + 100)])
  t.same(spans(chunksOf(batch)), [
    [1, 19],
    [101, 119],
  ])
  t.same(spans(chunksOf([...rows(A, 5, 3), ...rows(A, 9, 2)])), [
    [5, 7],
    [9, 10],
  ])
  t.same(spans(chunksOf([row(A, 2), row(A, 1), row(A, 2)])), [
    [1, 2],
    [2, 2],
  ])
  t.same(chunksOf([]), [])
})

t.test('a row has a bound in events and in bytes', async (t) => {
  t.same(spans(chunksOf(rows(A, 1, 2 * CHUNK_EVENTS + 1))), [
    [1, CHUNK_EVENTS],
    [CHUNK_EVENTS + 1, 2 * CHUNK_EVENTS],
    [2 * CHUNK_EVENTS + 1, 2 * CHUNK_EVENTS + 1],
  ])
  const half = CHUNK_BYTES / 2
  t.same(spans(chunksOf([row(A, 1, half), row(A, 2, half), row(A, 3, 0), row(A, 4, 1)])), [
    [1, 3],
    [4, 4],
  ])
  t.same(spans(chunksOf([row(A, 1), row(A, 2, CHUNK_BYTES + 1), row(A, 3)])), [
    [1, 1],
    [2, 2],
    [3, 3],
  ])
})

t.test('a row that does not fit its key is refused', async (t) => {
  const [write] = chunksOf(rows(A, 1, 3))
  const read = (key: Uint8Array, value: Uint8Array) => {
    const found: number[] = []
    eachOf(key, value, (seq) => found.push(seq))
    return found
  }
  t.same(read(write!.key, write!.value), [1, 2, 3])
  const refused = { code: 'unavailable', message: /damaged/ }
  t.throws(() => read(write!.key, write!.value.subarray(0, 30)), refused)
  t.throws(() => read(write!.key, write!.value.subarray(0, 3)), refused)
  t.throws(() => read(historyKey(A, 60, 60), write!.value), refused)
})
