import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseRoomId, parseUserId, partitionOf, type RoomId } from '../ids.ts'
import { writeEvent } from '../protocol/hot.ts'
import { encodeBatch } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import type { HistoryRow, HistoryStore } from '../store/history/history.ts'
import { levelHistory } from '../store/level/level-history.ts'
import { openLevel } from '../store/level/open.ts'
import { historyProjection } from './history.ts'
import { MemorySource } from './memory.fixture.ts'
import { type Difference, verifyStream } from './verify.ts'

const PARTITIONS = 4
const STREAMS = 2
const STREAM = 1

const sender = parseUserId('uann')!
const all = Array.from({ length: 40 }, (_, n) => parseRoomId(`groom-${n}-room`)!)
const streamOf = (room: RoomId) => partitionOf(room, PARTITIONS) % STREAMS
const [A, B] = all.filter((room) => streamOf(room) === STREAM) as [RoomId, RoomId]
const ELSEWHERE = all.find((room) => streamOf(room) !== STREAM)!

const event = (room: RoomId, seq: number, text = `text ${seq}`) => ({
  ...{ room, seq, ord: seq, id: BigInt(seq) << 22n, time: 1_700_000_000_000, sender, type: 1 },
  body: new Writer().array(1).str(text).take(),
})
const row = (room: RoomId, seq: number, text?: string): HistoryRow => ({
  room,
  seq,
  frame: writeEvent(new Writer(), event(room, seq, text)).take(),
})
const numbered = { lineage: 7, n: 1, low: 1, hash: 99 }

const stage = async (t: Test) => {
  const history = levelHistory(await openLevel(join(t.testdir(), 'data')))
  t.teardown(() => history.close())
  const source = new MemorySource()
  /** Each event is a record. */
  const log = (room: RoomId, ...seqs: number[]) => {
    for (const seq of seqs) {
      source.append(
        encodeBatch({
          ...{ epoch: 1, number: 1, prev: 1, view: 1 },
          records: [{ kind: 'event', ...numbered, ...event(room, seq) }],
        }),
      )
    }
  }
  const last = () => source.first + source.records.length - 1
  /** What the projection does, but for what is left out. */
  const project = async (without: (row: HistoryRow) => boolean = () => false) => {
    const projection = historyProjection(history)
    const rows = source.records
      .flatMap((record) => projection.read(record))
      .filter((row) => !without(row))
    await history.append(rows, STREAM, last())
  }
  const verify = async (over: Partial<HistoryStore> = {}) => {
    const differences: Difference[] = []
    const verified = await verifyStream(
      {
        history: {
          floor: (k) => history.floor(k),
          page: (...range) => history.page(...range),
          kept: (room) => history.kept(room),
          spans: (after, limit) => history.spans(after, limit),
          ...over,
        },
        ...{ stream: STREAM, streams: STREAMS, partitions: PARTITIONS, source },
        onDifference: (difference) => differences.push(difference),
        onStep: () => undefined,
      },
      new AbortController().signal,
    )
    return { ...verified, differences }
  }
  return { history, source, log, project, verify }
}

t.test('what is the same is no difference', async (t) => {
  const { history, log, project, verify } = await stage(t)
  t.same(await verify(), { records: 0, events: 0, rooms: 0, differences: [] }, 'nothing at all')
  log(A, 1, 2, 3)
  log(B, 1)
  log(A, 4)
  await project()
  // Of another stream, whoever looks after that; with a hole.
  await history.append([row(ELSEWHERE, 1), row(ELSEWHERE, 5)], 0, 9)
  t.same(await verify(), { records: 5, events: 5, rooms: 2, differences: [] })
})

t.test('what is missing or has other bytes is told, neighbours as one', async (t) => {
  const { history, log, project, verify } = await stage(t)
  log(A, 1, 2, 3, 4, 5, 6, 7, 8)
  log(B, 1, 2)
  await project(({ room, seq }) => room === A && [2, 3, 4, 6].includes(seq))
  await history.append([row(A, 6, 'something else')], STREAM, 0)
  const { differences } = await verify()
  t.same(differences, [
    { room: A, first: 2, last: 4, what: 'missing' },
    { room: A, first: 6, last: 6, what: 'bytes' },
  ])
})

t.test('a room that history has nothing of is told', async (t) => {
  const { log, project, verify } = await stage(t)
  log(A, 1)
  log(B, 1, 2)
  await project(({ room }) => room === B)
  const { differences, rooms } = await verify()
  t.same(differences, [{ room: B, first: 1, last: 2, what: 'missing' }])
  t.equal(rooms, 2)
})

t.test('where the log holds nothing any more, a hole is told', async (t) => {
  const { source, log, project, verify } = await stage(t)
  log(A, 1, 2, 3, 4, 5)
  log(B, 1, 2, 3, 4)
  await project(({ room, seq }) => (room === A ? seq === 2 : seq < 3))
  source.trim(6)
  t.same((await verify()).differences, [
    { room: B, first: 1, last: 2, what: 'missing' },
    { room: A, first: 2, last: 2, what: 'hole' },
  ])
  source.trim(9)
  const { differences } = await verify()
  t.same(
    new Set(differences),
    new Set([
      { room: A, first: 2, last: 2, what: 'hole' },
      { room: B, first: 1, last: 2, what: 'hole' },
    ]),
  )
})

t.test('what retention has dropped is no difference, also when it does so meanwhile', async (t) => {
  const { history, log, project, verify } = await stage(t)
  log(A, 1, 2, 3, 4, 5, 6)
  await project()
  await history.drop(A, 3)
  t.same((await verify()).differences, [])
  let dropped = false
  const { differences } = await verify({
    page: async (...range) => {
      if (!dropped) await history.drop(A, 5)
      dropped = true
      return history.page(...range)
    },
  })
  t.same(differences, [])
})

t.test('what is not stored yet is no difference', async (t) => {
  const { history, source, log, project, verify } = await stage(t)
  log(A, 1, 2)
  await project()
  log(A, 3, 4)
  log(B, 1)
  t.same(await verify(), { records: 2, events: 2, rooms: 1, differences: [] })
  // A store without transactions shows a part of what is being written: here of a room that the log has let go.
  source.trim(3)
  await history.append([row(A, 4)], STREAM, 0)
  t.same((await verify()).differences, [])
  // The same hole is one when the log will not fill it.
  await history.append([row(B, 9)], STREAM, 0)
  t.same((await verify()).differences, [], 'it is above what comes later')
  await history.append([row(A, 4)], STREAM, 5)
  t.same((await verify()).differences, [
    { room: A, first: 3, last: 3, what: 'missing' },
    { room: B, first: 1, last: 1, what: 'missing' },
  ])
})

t.test('a record that can’t be read is told; it holds up nothing', async (t) => {
  const { source, log, project, verify } = await stage(t)
  log(A, 1)
  await project()
  source.append('what is this')
  log(A, 2)
  const { differences } = await verify({ floor: async () => 3 })
  t.match(differences, [
    { room: '', first: 2, last: 2, what: 'unreadable' },
    { room: A, first: 2, last: 2, what: 'missing' },
  ])
})

t.test('a log that brings nothing ends it', async (t) => {
  const { log, source, project, verify } = await stage(t)
  log(A, 1, 2)
  await project()
  source.next = async () => []
  await t.rejects(verify(), { code: 'unavailable' })
})
