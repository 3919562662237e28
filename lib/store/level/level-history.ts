import type { RoomId } from '../../ids.ts'
import type { HistoryRow, HistoryStore } from '../history/history.ts'
import { CHUNK_EVENTS, chunksOf, eachOf } from './chunks.ts'
import { floorKey, historyKey, keyAfter, stamped, stampOf } from './keys.ts'
import type { LevelDatabase } from './open.ts'

const NOTHING = new Uint8Array()
/** Rows of one read. */
const ROWS = 1000

/** The history of all rooms on the embedded database. */
export const levelHistory = (database: LevelDatabase): HistoryStore => {
  const release = database.hold()
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
      const to = Math.min(last, Number.MAX_SAFE_INTEGER - CHUNK_EVENTS)
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
      return [...frames].sort(([a], [b]) => a - b).map(([seq, frame]) => ({ room, seq, frame }))
    },

    close: release,
  }
}
