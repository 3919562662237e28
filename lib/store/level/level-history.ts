import type { RoomId } from '../../ids.ts'
import type { HistoryRow, HistoryStore } from '../history/history.ts'
import type { Write } from './committer.ts'
import { floorKey, historyKey, seqOf, stamped, stampOf } from './keys.ts'
import type { LevelDatabase } from './open.ts'

const NOTHING = new Uint8Array()

/** The history of all rooms on the embedded database. */
export const levelHistory = (database: LevelDatabase): HistoryStore => {
  const release = database.hold()
  return {
    append: (rows, stream, position) => {
      const writes: Write[] = rows.map(({ room, seq, frame }) => ({
        type: 'put',
        key: historyKey(room, seq),
        value: frame,
      }))
      writes.push({ type: 'raise', key: floorKey(stream), value: stamped(position, NOTHING) })
      return database.commit(writes)
    },

    floor: async (stream) => {
      const value = await database.get(floorKey(stream))
      return value === undefined ? 0 : stampOf(value)
    },

    page: async (room: RoomId, first: number, last: number): Promise<HistoryRow[]> => {
      const from = Math.max(first, 0)
      const to = Math.min(last, Number.MAX_SAFE_INTEGER - 1)
      if (!(from <= to)) return []
      const found = await database.range(historyKey(room, from), historyKey(room, to + 1))
      return found.map(([key, frame]) => ({ room, seq: seqOf(key), frame }))
    },

    close: release,
  }
}
