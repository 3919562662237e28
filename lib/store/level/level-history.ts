import type { RoomId } from '../../ids.ts'
import type { HistoryRow, HistoryStore, Span } from '../history/history.ts'
import { CHUNK_EVENTS, chunksOf, eachOf } from './chunks.ts'
import type { Write } from './committer.ts'
import {
  countOf,
  floorKey,
  HISTORY_RANGE,
  historyEnd,
  historyKey,
  historyRoomOf,
  keyAfter,
  lastOf,
  stamped,
  stampOf,
} from './keys.ts'
import type { LevelDatabase } from './open.ts'
import { roomFloors } from './room-floors.ts'

const NOTHING = new Uint8Array()
/** Rows of one read. */
const ROWS = 1000
/** Rows that are taken away at once. */
const CLEARED = 10_000
/** Below every seq whose rows can be addressed. */
const SEQ_MAX = Number.MAX_SAFE_INTEGER - CHUNK_EVENTS

/** The history of all rooms on the embedded database. */
export const levelHistory = (database: LevelDatabase): HistoryStore => {
  const release = database.hold()
  const floors = roomFloors(database)
  return {
    append: (rows, stream, position) => {
      const writes = chunksOf(rows)
      const floor = stamped(position, NOTHING)
      writes.push({ type: 'raise', key: floorKey(stream), value: floor, remember: true })
      return database.commit(writes)
    },

    floor: async (stream) => {
      const value = await database.get(floorKey(stream))
      return value === undefined ? 0 : stampOf(value)
    },

    page: async (room: RoomId, first: number, last: number): Promise<HistoryRow[]> => {
      const from = Math.max(first, 0)
      const to = Math.min(last, SEQ_MAX)
      if (!(from <= to)) return []
      const size = to - from + 1
      const frames = new Map<number, Uint8Array>()
      const take = (seq: number, frame: Uint8Array) => {
        if (seq >= from && seq <= to) frames.set(seq, frame)
      }
      let start = historyKey(room, from, 0)
      const end = historyKey(room, to + CHUNK_EVENTS, 0)
      // Unless rows overlap or there are holes, each brings an event that was missing: `size` of them are enough.
      for (let limit = Math.min(size, ROWS); ; limit = ROWS) {
        const found = await database.range(start, end, limit)
        for (const [key, value] of found) eachOf(key, value, take)
        if (found.length < limit || frames.size === size) break
        start = keyAfter(found.at(-1)![0])
      }
      const kept = await floors.of(room)
      return [...frames]
        .filter(([seq]) => seq >= kept)
        .sort(([a], [b]) => a - b)
        .map(([seq, frame]) => ({ room, seq, frame }))
    },

    kept: (room) => floors.of(room),

    drop: async (room, below) => {
      await floors.raise(room, Math.min(below, SEQ_MAX))
      const floor = await floors.of(room)
      // First what begins below the floor and ends above it: `spans` shows what is wholly below until it is gone.
      const writes = await shortened(database, room, floor)
      if (writes.length > 0) await database.commit(writes)
      const from = historyKey(room, 0, 0)
      const to = historyKey(room, floor, 0)
      while ((await database.keys(from, to, 1)).length > 0) await database.clear(from, to, CLEARED)
    },

    spans: async (after, limit) => {
      const spans: Span[] = []
      let from = after === undefined ? HISTORY_RANGE.from : historyEnd(after)
      while (spans.length < limit) {
        const [lowest] = await database.keys(from, HISTORY_RANGE.to, 1)
        if (lowest === undefined) break
        const room = historyRoomOf(lowest)
        from = room === undefined ? keyAfter(lowest) : historyEnd(room)
        if (room === undefined) continue
        const [highest] = await database.keys(lowest, from, 1, true)
        // What begins lower than the lowest row, ends soon after it (chunks.ts).
        const near = historyKey(room, lastOf(lowest) + CHUNK_EVENTS, 0)
        const low = await database.keys(lowest, near, ROWS)
        if (highest === undefined) continue // It was dropped meanwhile.
        const first = Math.min(firstOf(lowest), ...low.map(firstOf))
        spans.push({ room, first, last: lastOf(highest) })
      }
      return spans
    },

    close: release,
  }
}

const firstOf = (key: Uint8Array): number => lastOf(key) - countOf(key) + 1

/** Rows with events on both sides of `floor`, without those below it. */
const shortened = async (
  database: LevelDatabase,
  room: RoomId,
  floor: number,
): Promise<Write[]> => {
  const writes: Write[] = []
  const end = historyKey(room, floor + CHUNK_EVENTS, 0)
  for (const [key, value] of await database.range(historyKey(room, floor, 0), end)) {
    if (firstOf(key) >= floor) continue
    const rest: HistoryRow[] = []
    eachOf(key, value, (seq, frame) => {
      if (seq >= floor) rest.push({ room, seq, frame })
    })
    writes.push(...chunksOf(rest), { type: 'del', key: Buffer.from(key), value: NOTHING })
  }
  return writes
}
