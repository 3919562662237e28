import type { RoomId } from '../../ids.ts'

/** An event of a room as its `event` frame (PROTOCOL.md), byte for byte as it was delivered. */
export type HistoryRow = { readonly room: RoomId; readonly seq: number; readonly frame: Uint8Array }

/** Lowest and highest sequence that is stored of a room; some between may be missing. */
export type Span = { readonly room: RoomId; readonly first: number; readonly last: number }

/**
 * The history of all rooms. Writers are projections (one per log stream), readers are the hosts of the rooms.
 * Everything is idempotent by (room, seq): a replay writes the same bytes again.
 *
 * What a room no longer keeps lies below its floor. A floor only rises, and holds for whatever comes later: events that a
 * replay appends below it are never read, and are gone after the next `drop`.
 */
export interface HistoryStore {
  /**
   * Stores rows and, in the same atomic step, that everything of log stream `stream` up to `position` is stored.
   * Resolves when both would survive a power loss. A lower position than the stored one is kept out.
   */
  append(rows: readonly HistoryRow[], stream: number, position: number): Promise<void>
  /** The position that `append` stored for this log stream; 0 when there is none. */
  floor(stream: number): Promise<number>
  /**
   * Rows first … last (both inclusive) that are there and not below the room's floor, ascending. The caller sees holes;
   * it learns from `kept`, asked afterwards, whether they are for good.
   */
  page(room: RoomId, first: number, last: number): Promise<HistoryRow[]>
  /** The room's floor: the lowest sequence that it keeps; 1 until `drop` raises it. */
  kept(room: RoomId): Promise<number>
  /**
   * Raises the room's floor to `below`, then takes what lies below the floor off the disk. The floor is stored before
   * anything is taken: a crash between leaves rows that nobody reads, and `spans` shows until another `drop` of the
   * same floor ends the work. A lower floor than the stored one is kept out.
   */
  drop(room: RoomId, below: number): Promise<void>
  /** At most `limit` rooms that have rows, in an order of the store's own, from after `after` on. */
  spans(after: RoomId | undefined, limit: number): Promise<Span[]>
  close(): Promise<void>
}
