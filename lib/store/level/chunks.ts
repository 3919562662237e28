/**
 * How the history lies in its rows: consecutive events of a room that arrive together are one row, since what a row
 * costs (a call into LevelDB, an entry in each of its levels) hardly depends on its size (bench/micro/history.ts).
 *
 *     key    history · room · seq of the last event · number of events
 *     value  length 2 of each event but the last · the events
 *
 * I1. A key says exactly which events its row holds, so that writing it again writes the same, and a replay with other
 *     borders adds rows that overlap the first ones: no write can take an event away, and none has to read first.
 * I2. An event lies at most CHUNK_EVENTS − 1 rows' worth of seqs before the end of its row: a reader that goes from
 *     `first` on meets every row that holds some of its page, by LevelDB's order of keys.
 */
import { ParleyError } from '../../errors.ts'
import type { RoomId } from '../../ids.ts'
import type { HistoryRow } from '../history/history.ts'
import type { Write } from './committer.ts'
import { countOf, historyKey, lastOf } from './keys.ts'

export const CHUNK_EVENTS = 64
/** Of the events; a larger one has a row of its own. Lengths take two bytes, so below 64 KiB. */
export const CHUNK_BYTES = 32 << 10

const LENGTH = 2

type Run = { readonly room: RoomId; last: number; bytes: number; readonly frames: Uint8Array[] }

/** Rows in any order, of any rooms, as few writes; what is consecutive is best in order. */
export const chunksOf = (rows: readonly HistoryRow[]): Write[] => {
  const writes: Write[] = []
  const open = new Map<RoomId, Run>()
  let run: Run | undefined
  for (const { room, seq, frame } of rows) {
    if (run?.room !== room) run = open.get(room)
    const bytes = frame.byteLength
    if (
      run !== undefined &&
      seq === run.last + 1 &&
      run.frames.length < CHUNK_EVENTS &&
      run.bytes + bytes <= CHUNK_BYTES
    ) {
      run.frames.push(frame)
      run.last = seq
      run.bytes += bytes
    } else {
      if (run !== undefined) writes.push(writeOf(run))
      run = { room, last: seq, bytes, frames: [frame] }
      open.set(room, run)
    }
  }
  for (const run of open.values()) writes.push(writeOf(run))
  return writes
}

const writeOf = ({ room, last, bytes, frames }: Run): Write => {
  const count = frames.length
  const key = historyKey(room, last, count)
  if (count === 1) return { type: 'put', key, value: frames[0]! }
  let at = LENGTH * (count - 1)
  const value = Buffer.allocUnsafe(at + bytes)
  for (let n = 0; n < count; n++) {
    const frame = frames[n]!
    if (n < count - 1) value.writeUInt16BE(frame.byteLength, LENGTH * n)
    value.set(frame, at)
    at += frame.byteLength
  }
  return { type: 'put', key, value }
}

/** Tells `sink` of the events of a row, ascending, as views. @throws ParleyError unavailable when it is damaged */
export const eachOf = (
  key: Uint8Array,
  value: Uint8Array,
  sink: (seq: number, frame: Uint8Array) => void,
): void => {
  const count = countOf(key)
  const first = lastOf(key) - count + 1
  let at = LENGTH * (count - 1)
  for (let n = 0; n < count; n++) {
    const to =
      n === count - 1
        ? value.byteLength
        : at + ((value[LENGTH * n] ?? 0) << 8) + (value[LENGTH * n + 1] ?? 0)
    if (at > to || to > value.byteLength) throw damaged()
    sink(first + n, value.subarray(at, to))
    at = to
  }
}

const damaged = (): ParleyError =>
  new ParleyError('unavailable', { detail: 'a row of the history is damaged' })
