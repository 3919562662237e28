import type { RoomId } from '../ids.ts'
import { eachEvent } from '../protocol/records.ts'
import type { HistoryRow, HistoryStore } from '../store/history/history.ts'
import type { Projection } from './projection.ts'

/** Every event of the log into the history, byte for byte as it was delivered. */
export const historyProjection = (store: HistoryStore): Projection<HistoryRow> => ({
  name: 'history',
  floor: (stream) => store.floor(stream),
  read: ({ data }) => {
    const rows: HistoryRow[] = []
    eachEvent(data, (room, seq, frame) => rows.push({ room, seq, frame }))
    return rows
  },
  write: (rows, stream, position) => store.append(rows, stream, position),
  kept: async (rows) => {
    const floors = new Map<RoomId, number>()
    for (const { room } of rows) {
      if (!floors.has(room)) floors.set(room, await store.kept(room))
    }
    return rows.filter(({ room, seq }) => seq >= floors.get(room)!)
  },
})
