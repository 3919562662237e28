/**
 * Turns changed rooms into pointers and snapshots. A flush is taken when a room's state is exactly that at the end of
 * a batch, and leaves when that batch is committed (contracts L3, L4).
 */
import type { UserId } from '../ids.ts'
import { writeValue } from '../protocol/codec.ts'
import type { Wire } from '../protocol/fields.ts'
import type { Pointer } from '../protocol/frames.ts'
import { POINTER } from '../protocol/pointer.ts'
import { Writer } from '../protocol/writer.ts'
import type { Saving } from './checkpointer.ts'
import type { PartitionContext } from './context.ts'
import type { Ticket } from './pointer-queue.ts'
import type { RoomActor } from './room-actor.ts'

/** Pointers of a room are sent together when the first is this old. */
export const COALESCE_MS = 250
/** Rooms flushed at one batch's end: bounds the pause. */
const MAX_ROOMS = 512
/** Flushes of a room that may be unsafe; while the inbox takes nothing, what more it owes gathers in the room. */
const OPEN_FLUSHES = 4

type Job<State> = {
  readonly room: RoomActor<State>
  readonly pointers: readonly (readonly [UserId, Pointer])[]
  readonly saving: Saving | undefined
}

const scratch = new Writer(256)

export class Flusher<State> {
  readonly #context: PartitionContext<State>
  /** Rooms that owe pointers, the longest waiting first. */
  #dirty: RoomActor<State>[] = []
  #jobs: Job<State>[] = []
  #open = 0

  constructor(context: PartitionContext<State>) {
    this.#context = context
  }

  dirty(room: RoomActor<State>): void {
    this.#dirty.push(room)
  }

  /** True when no pointer is owed and none is on its way. */
  get idle(): boolean {
    return this.#dirty.length === 0 && this.#jobs.length === 0 && this.#open === 0
  }

  /**
   * Takes what is due, and what `todo` wants to be saved. `position` is that of the last committed batch when no other
   * is on its way; otherwise `committed` will tell.
   */
  collect(
    todo: readonly { room: RoomActor<State>; saving: Saving }[],
    position: number | undefined,
  ): void {
    for (const { room, saving } of todo) this.#take(room, saving)
    const due = this.#context.clock.monotonic() - COALESCE_MS
    let taken = 0
    const later: RoomActor<State>[] = []
    while (taken < this.#dirty.length && taken < MAX_ROOMS) {
      const room = this.#dirty[taken]!
      // Flushed for the checkpoint meanwhile: not dirty any more, or dirty again and further back.
      if (room.dirtySince > due) break
      taken++
      if (room.dirtySince === 0) continue
      if (room.tickets.size < OPEN_FLUSHES) this.#take(room, undefined)
      else later.push(room)
    }
    if (taken > 0) this.#dirty.splice(0, taken)
    if (later.length > 0) this.#dirty.push(...later)
    if (position !== undefined) this.committed(position)
  }

  #take(room: RoomActor<State>, saving: Saving | undefined): void {
    const { behavior } = this.#context
    const pointers: [UserId, Pointer][] = []
    if (room.dirtySince !== 0) {
      for (const user of room.takeDirty()) {
        const pointer = behavior.pointer(room.state, user)
        if (pointer !== undefined) pointers.push([user, pointer])
      }
    }
    if (saving !== undefined) saving.state = behavior.encode(room.state)
    if (pointers.length > 0 || saving !== undefined) this.#jobs.push({ room, pointers, saving })
  }

  /** The batch that the collected jobs belong to is committed at `position`. */
  committed(position: number): void {
    const jobs = this.#jobs
    if (jobs.length === 0) return
    this.#jobs = []
    for (const job of jobs) this.#release(job, position)
  }

  #release({ room, pointers, saving }: Job<State>, position: number): void {
    const waitFor = new Set(room.tickets)
    if (pointers.length > 0) {
      this.#open++
      const ticket: Ticket = { left: pointers.length, done: () => this.#safe(room, ticket) }
      room.tickets.add(ticket)
      waitFor.add(ticket)
      for (const [user, pointer] of pointers) {
        writeValue(scratch.reset(), POINTER as unknown as Wire, { ...pointer, version: position })
        this.#context.pointers.offer(user, room.id, position, scratch.take(), ticket)
      }
    }
    if (saving !== undefined) saving.committed(position, waitFor)
  }

  #safe(room: RoomActor<State>, ticket: Ticket): void {
    this.#open--
    room.tickets.delete(ticket)
    for (const saving of room.savings) saving.safe(ticket)
  }
}
