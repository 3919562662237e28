import { LRUCache } from 'lru-cache'
import type { RoomId } from '../../ids.ts'

const ROOMS = 200_000

/**
 * The newest bucket of each room that is in the table of buckets, as far as this process wrote it: it is written once, not
 * with every event. What has been forgotten is written again.
 */
export class KnownBuckets {
  readonly #newest = new LRUCache<RoomId, number>({ max: ROOMS })

  has(room: RoomId, bucket: number): boolean {
    return this.#newest.get(room) === bucket
  }

  add(room: RoomId, bucket: number): void {
    if (bucket >= (this.#newest.get(room) ?? 0)) this.#newest.set(room, bucket)
  }

  forget(room: RoomId): void {
    this.#newest.delete(room)
  }
}
