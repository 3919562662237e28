/**
 * Raises a partition's checkpoint: in rounds, each of which saves a snapshot of every room with records since its
 * last one. Checkpoint c says that all records ≤ c are in stored snapshots and their pointers are safe (contracts L4).
 */
import type { RoomSnapshot } from '../store/state/state.ts'
import type { PartitionContext } from './context.ts'
import type { Ticket } from './pointer-queue.ts'
import type { RoomActor } from './room-actor.ts'

/** A round starts this long after the last one. */
export const ROUND_MS = 10_000
/** Rooms encoded at one batch's end: bounds the pause. */
const ROOMS_AT_ONCE = 128

/** A snapshot on its way: encoded at a batch's end, stored when that is committed and the pointers before are safe. */
export class Saving {
  state: Uint8Array | undefined
  #position = 0
  #waitFor: Set<Ticket> | undefined
  readonly #ready: (saving: Saving, position: number) => void

  constructor(ready: (saving: Saving, position: number) => void) {
    this.#ready = ready
  }

  committed(position: number, waitFor: Set<Ticket>): void {
    this.#position = position
    this.#waitFor = waitFor
    this.#check()
  }

  /** A ticket's pointers are safe. */
  safe(ticket: Ticket): void {
    if (this.#waitFor?.delete(ticket)) this.#check()
  }

  #check(): void {
    if (this.#waitFor?.size !== 0) return
    this.#waitFor = undefined
    this.#ready(this, this.#position)
  }
}

type Round<State> = { floor: number; todo: RoomActor<State>[]; left: number; failed: boolean }

export class Checkpointer<State> {
  readonly #context: PartitionContext<State>
  readonly #p: number
  /** The stored checkpoint. */
  position: number
  /** Rooms with records that no stored snapshot holds. */
  readonly #dirty = new Set<RoomActor<State>>()
  #round: Round<State> | undefined
  #lastRound = 0
  #ready: { room: RoomActor<State>; snapshot: RoomSnapshot }[] = []
  #writing = false
  #stopped = false
  /** Rounds follow each other at once. */
  hurry = false

  constructor(context: PartitionContext<State>, p: number, checkpoint: number) {
    this.#context = context
    this.#p = p
    this.position = checkpoint
  }

  /** The room has a committed record since its last snapshot. */
  dirty(room: RoomActor<State>): void {
    this.#dirty.add(room)
  }

  drained(last: number): boolean {
    return this.#round === undefined && this.#dirty.size === 0 && this.position >= last
  }

  /** Starts a round when one is due; `complete` when every room with records since the checkpoint is loaded. */
  pulse(last: number, complete: boolean): void {
    const now = this.#context.clock.monotonic()
    if (this.#round !== undefined || !complete || last <= this.position) return
    if (!this.hurry && now - this.#lastRound < ROUND_MS) return
    this.#lastRound = now
    const todo = [...this.#dirty]
    this.#round = { floor: last, todo, left: todo.length, failed: false }
    if (todo.length === 0) void this.#finish(this.#round)
  }

  /** Rooms to encode at this batch's end. */
  take(): { room: RoomActor<State>; saving: Saving }[] {
    const round = this.#round
    if (round === undefined || round.todo.length === 0) return []
    return round.todo.splice(0, ROOMS_AT_ONCE).map((room) => {
      const saving = new Saving((done, position) => this.#encoded(room, done, position))
      room.savings.add(saving)
      return { room, saving }
    })
  }

  #encoded(room: RoomActor<State>, saving: Saving, position: number): void {
    room.savings.delete(saving)
    this.#ready.push({ room, snapshot: { room: room.id, position, state: saving.state! } })
    if (!this.#writing) void this.#write()
  }

  async #write(): Promise<void> {
    this.#writing = true
    while (this.#ready.length > 0 && !this.#stopped) {
      const ready = this.#ready
      this.#ready = []
      try {
        await this.#context.state.saveRooms(ready.map(({ snapshot }) => snapshot))
        for (const { room, snapshot } of ready) this.#saved(room, snapshot.position)
      } catch (cause) {
        this.#context.storeFailed(this.#p, undefined, cause)
        if (this.#round !== undefined) this.#round.failed = true
      }
      if (this.#round !== undefined) {
        this.#round.left -= ready.length
        if (this.#round.left === 0) await this.#finish(this.#round)
      }
    }
    this.#writing = false
  }

  #saved(room: RoomActor<State>, position: number): void {
    room.savedPosition = position
    if (room.lastPosition <= position) this.#dirty.delete(room)
  }

  async #finish(round: Round<State>): Promise<void> {
    this.#round = undefined
    // What could not be stored is still dirty: the next round tries again.
    if (round.failed || this.#stopped) return
    try {
      await this.#context.saveCheckpoint(this.#p, round.floor)
      this.position = Math.max(this.position, round.floor)
    } catch (cause) {
      this.#context.storeFailed(this.#p, undefined, cause)
    }
  }

  /** No snapshot or checkpoint is written any more, but what is on its way (contracts L9). */
  stop(): void {
    this.#stopped = true
    this.#ready = []
  }
}
