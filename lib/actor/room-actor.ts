/**
 * A room in memory: its state, the recent events that readers and history want, and what is owed to its users.
 * Owns no I/O; the partition (partition.ts) drives it.
 */
import type { RoomId, UserId } from '../ids.ts'
import type { RoomCommand } from './behavior.ts'
import type { Saving } from './checkpointer.ts'
import type { Origin } from './outbound.ts'
import type { Ticket } from './pointer-queue.ts'

/** A recent event; `position` is its batch's place in the log, 0 while that is not decided. */
export type TailEntry = {
  readonly seq: number
  /** Undefined when memory was short: the bytes are in the log at `position`. */
  frame: Uint8Array | undefined
  position: number
}

export type Queued = { readonly origin: Origin; readonly command: RoomCommand }

/** Commands that may wait while a room loads. */
export const MAILBOX = 4096
/** Events kept in memory for readers even when history has them. */
const KEEP = 64
/** Lists of dirty users that are kept apart before they are merged. */
const DIRTY_LISTS = 16

export class RoomActor<State> {
  readonly id: RoomId
  state: State
  /** False while the snapshot is read, or a permit is asked for: commands wait in the mailbox. */
  ready = false
  readonly mailbox: Queued[] = []
  /** Number of the newest batch with a record of this room. */
  lastBatch = 0
  /** Position of its newest committed record, and of its stored snapshot. */
  lastPosition = 0
  savedPosition = 0
  tail: TailEntry[] = []
  /** Since when users wait for a pointer (monotonic ms); 0 when none does. */
  dirtySince = 0
  #dirty: (readonly UserId[])[] = []
  /** Pointers of earlier flushes that are not safe yet. */
  readonly tickets = new Set<Ticket>()
  /** Snapshots that wait for them. */
  readonly savings = new Set<Saving>()
  /** Loop turn of last use, for passivation. */
  usedAt = 0

  constructor(id: RoomId, state: State) {
    this.id = id
    this.state = state
  }

  /** These users need a pointer. True when nobody did before. */
  touch(users: readonly UserId[], now: number): boolean {
    if (users.length === 0) return false
    const dirty = this.#dirty
    if (dirty.at(-1) !== users) {
      dirty.push(users)
      if (dirty.length > DIRTY_LISTS) this.#dirty = [[...new Set(dirty.flat())]]
    }
    if (this.dirtySince !== 0) return false
    this.dirtySince = now
    return true
  }

  /** Who needs a pointer; nobody does after. */
  takeDirty(): readonly UserId[] {
    const dirty = this.#dirty
    this.#dirty = []
    this.dirtySince = 0
    return dirty.length === 1 ? dirty[0]! : [...new Set(dirty.flat())]
  }

  /** Forgets events that history has (`floor`), but for the last few. */
  trim(floor: number): void {
    const { tail } = this
    if (tail.length < 2 * KEEP) return
    let drop = 0
    const most = tail.length - KEEP
    while (drop < most && tail[drop]!.position !== 0 && tail[drop]!.position <= floor) drop++
    if (drop > 0) this.tail = tail.slice(drop)
  }

  /** True when history has every event of it. */
  archived(floor: number): boolean {
    const newest = this.tail.at(-1)
    return newest === undefined || (newest.position !== 0 && newest.position <= floor)
  }
}
