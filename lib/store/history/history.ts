import type { RoomId } from '../../ids.ts'

/** An event of a room as its `event` frame (PROTOCOL.md), byte for byte as it was delivered. */
export type HistoryRow = { readonly room: RoomId; readonly seq: number; readonly frame: Uint8Array }

/**
 * The history of all rooms. Writers are projections (one per log stream), readers are the hosts of the rooms.
 * Everything is idempotent by (room, seq): a replay writes the same bytes again.
 */
export interface HistoryStore {
  /**
   * Stores rows and, in the same atomic step, that everything of log stream `stream` up to `position` is stored.
   * Resolves when both would survive a power loss. A lower position than the stored one is kept out.
   */
  append(rows: readonly HistoryRow[], stream: number, position: number): Promise<void>
  /** The position that `append` stored for this log stream; 0 when there is none. */
  floor(stream: number): Promise<number>
  /** Rows first … last (both inclusive) that are there, ascending. The caller sees holes and asks elsewhere. */
  page(room: RoomId, first: number, last: number): Promise<HistoryRow[]>
  close(): Promise<void>
}
