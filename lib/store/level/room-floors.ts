/**
 * The floors of the rooms' history: below them nothing is kept. One for each open database, whoever asks, so that what
 * is remembered is what the disk holds.
 *
 * I1. A floor that was answered is synced: it is noted after its commit, and only rises.
 */
import { LRUCache } from 'lru-cache'
import type { RoomId } from '../../ids.ts'
import { KEPT_RANGE, keptKey, stamped, stampOf } from './keys.ts'
import type { LevelDatabase } from './open.ts'

const NOTHING = new Uint8Array()
/** Rooms of which the floor is remembered. */
const REMEMBERED = 10_000
/** The floor of a room that keeps everything. */
const ALL = 1

export class RoomFloors {
  readonly #database: LevelDatabase
  readonly #known = new LRUCache<RoomId, number>({ max: REMEMBERED })
  /** Undefined until it was looked up. Without retention no room has a floor, and none is asked for. */
  #any: boolean | undefined

  constructor(database: LevelDatabase) {
    this.#database = database
  }

  async of(room: RoomId): Promise<number> {
    if (this.#any === undefined) {
      const found = await this.#database.keys(KEPT_RANGE.from, KEPT_RANGE.to, 1)
      this.#any ||= found.length > 0
    }
    if (!this.#any) return ALL
    const known = this.#known.get(room)
    if (known !== undefined) return known
    const value = await this.#database.get(keptKey(room))
    return this.#note(room, value === undefined ? ALL : stampOf(value))
  }

  async raise(room: RoomId, floor: number): Promise<void> {
    await this.#database.commit([
      { type: 'raise', key: keptKey(room), value: stamped(floor, NOTHING) },
    ])
    this.#any = true
    const value = await this.#database.get(keptKey(room)) // It may be higher.
    this.#note(room, value === undefined ? floor : stampOf(value))
  }

  /** A read that is older than a raise must not lower what is known. */
  #note(room: RoomId, floor: number): number {
    const highest = Math.max(floor, this.#known.get(room) ?? ALL)
    this.#known.set(room, highest)
    return highest
  }
}

const floors = new WeakMap<LevelDatabase, RoomFloors>()

export const roomFloors = (database: LevelDatabase): RoomFloors => {
  let its = floors.get(database)
  if (its === undefined) {
    its = new RoomFloors(database)
    floors.set(database, its)
  }
  return its
}
