import type { RoomId, UserId } from '../../ids.ts'

/** A room actor's state as of log position `position`. */
export type RoomSnapshot = {
  readonly room: RoomId
  readonly position: number
  readonly state: Uint8Array
}

/** One keyed row of a user actor: a pointer (key = room id) or another inbox entry, with its inbox position. */
export type UserRow = {
  readonly user: UserId
  readonly key: string
  readonly position: number
  readonly value: Uint8Array
}

/**
 * Snapshots of actors. For each key the higher position wins, whoever writes last, so that a late write of a former
 * owner does no harm.
 */
export interface StateStore {
  room(room: RoomId): Promise<RoomSnapshot | undefined>
  /** Resolves when the snapshots would survive a power loss. */
  saveRooms(snapshots: readonly RoomSnapshot[]): Promise<void>
  /** All rows of a user, in key order. */
  user(user: UserId): Promise<UserRow[]>
  /** Resolves when the rows would survive a power loss. */
  saveUsers(rows: readonly UserRow[]): Promise<void>
  /**
   * Takes those rows away whose position is not above the given one. Resolves when that would survive a power loss,
   * but a late write of what was taken away may bring it back.
   */
  dropUsers(rows: readonly Omit<UserRow, 'value'>[]): Promise<void>
  /** A small value of a partition (timers, what only its owner needs); the higher position wins. */
  partition(name: string): Promise<{ position: number; value: Uint8Array } | undefined>
  savePartition(name: string, position: number, value: Uint8Array): Promise<void>
  close(): Promise<void>
}
