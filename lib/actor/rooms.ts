/**
 * The rooms of a partition in memory: brought in from their snapshot and the log, asked for permits, let go when nobody
 * uses them. What they decide and owe is the partition's affair.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { refuse } from '../errors.ts'
import type { RoomId, UserId } from '../ids.ts'
import { sendRefusal } from './answers.ts'
import type { Asked, RoomCommand } from './behavior.ts'
import type { PartitionContext } from './context.ts'
import type { Origin } from './outbound.ts'
import type { Placed } from './replay.ts'
import { MAILBOX, RoomActor } from './room-actor.ts'

export type RoomsDriver<State> = {
  /** Decides a command of a room that is ready. */
  decide(
    room: RoomActor<State>,
    origin: Origin,
    command: RoomCommand,
    permit: Asked['permit'],
  ): void
  /** The room owes its users pointers. */
  owes(room: RoomActor<State>): void
  /** The room has committed records that no stored snapshot holds. */
  unsaved(room: RoomActor<State>): void
  /** True while a record of the room is on its way. */
  undecided(room: RoomActor<State>): boolean
}

/** Rooms whose snapshot can't be read are tried again after this long. */
const RETRY_MS = 500

export class Rooms<State> {
  readonly #context: PartitionContext<State>
  readonly #p: number
  readonly #driver: RoomsDriver<State>
  readonly #rooms = new Map<RoomId, RoomActor<State>>()
  /** Records since the checkpoint of rooms that were not loaded yet. */
  readonly #unloaded: Map<RoomId, Placed[]>
  #stopped = false

  constructor(
    context: PartitionContext<State>,
    p: number,
    unloaded: ReadonlyMap<RoomId, Placed[]>,
    driver: RoomsDriver<State>,
  ) {
    this.#context = context
    this.#p = p
    this.#unloaded = new Map(unloaded)
    this.#driver = driver
  }

  get size(): number {
    return this.#rooms.size
  }

  /** True when every room with records since the checkpoint is loaded. */
  get complete(): boolean {
    return this.#unloaded.size === 0
  }

  /** True when no command waits for a room. */
  get idle(): boolean {
    for (const room of this.#rooms.values()) if (room.mailbox.length > 0) return false
    return true
  }

  /** Hands a command to its room, now or when the room is ready. */
  execute(id: RoomId, origin: Origin, command: RoomCommand): void {
    const room = this.#rooms.get(id) ?? this.#load(id)
    if (room.ready) {
      this.#driver.decide(room, origin, command, undefined)
      this.#dropEmpty(room)
    } else if (room.mailbox.length < MAILBOX) room.mailbox.push({ origin, command: kept(command) })
    else sendRefusal(origin, command.req, refuse('overloaded', undefined, 200))
  }

  /** Asking for rooms that do not exist must not fill the memory. */
  #dropEmpty(room: RoomActor<State>): void {
    if (room.ready && this.#context.behavior.head(room.state) === 0) this.#rooms.delete(room.id)
  }

  #load(id: RoomId): RoomActor<State> {
    const room = new RoomActor<State>(id, this.#context.behavior.empty(id))
    this.#rooms.set(id, room)
    void this.#open(room)
    return room
  }

  /** Reads a room's snapshot and folds what the log holds past it, sending again what may not have been (L4). */
  async #open(room: RoomActor<State>): Promise<void> {
    const { behavior, state } = this.#context
    try {
      const snapshot = await state.room(room.id)
      if (this.#stopped) return
      if (snapshot !== undefined) {
        room.state = behavior.decode(room.id, snapshot.state)
        room.savedPosition = snapshot.position
        room.lastPosition = snapshot.position
      }
    } catch (cause) {
      if (!this.#stopped) this.#failOpen(room, cause)
      return
    }
    for (const placed of this.#unloaded.get(room.id) ?? []) this.#replay(room, placed)
    if (room.lastPosition > room.savedPosition) this.#driver.unsaved(room)
    this.#unloaded.delete(room.id)
    this.#ready(room, undefined)
  }

  #replay(room: RoomActor<State>, { position, record, frame }: Placed): void {
    if (frame !== undefined && record.kind === 'event') {
      room.tail.push({ seq: record.seq, frame, position })
    }
    if (position <= room.savedPosition) return
    const { behavior, clock, routes } = this.#context
    const users = behavior.evolve(room.state, record)
    room.lastPosition = position
    if (frame !== undefined) routes.deliver(frame, users, undefined)
    const owed = record.kind === 'read' ? [record.user] : users
    if (room.touch(owed, clock.monotonic())) this.#driver.owes(room)
  }

  #failOpen(room: RoomActor<State>, cause: unknown): void {
    this.#rooms.delete(room.id)
    this.#context.storeFailed(this.#p, room.id, cause)
    const refusal = refuse('unavailable', 'The room can not be loaded for now.', 500)
    for (const { origin, command } of room.mailbox) sendRefusal(origin, command.req, refusal)
  }

  #ready(room: RoomActor<State>, permit: Asked['permit']): void {
    room.ready = true
    const waiting = room.mailbox.splice(0)
    for (let i = 0; i < waiting.length; i++) {
      const { origin, command } = waiting[i]!
      // The permit is for whoever asked first; the others' first messages ask anew.
      this.#driver.decide(room, origin, command, i === 0 ? permit : undefined)
      if (room.ready) continue
      // It asks for a permit: the rest waits behind it.
      room.mailbox.push(...waiting.slice(i + 1))
      return
    }
    this.#dropEmpty(room)
  }

  /** N5: a dm comes to be when its users' actors allow it; commands wait meanwhile. */
  async askPermit(
    room: RoomActor<State>,
    origin: Origin,
    command: RoomCommand,
    peer: UserId,
  ): Promise<void> {
    room.ready = false
    room.mailbox.unshift({ origin, command: kept(command) })
    const permit = await this.#context
      .permit(origin.user, peer)
      .catch(() => refuse('unavailable', undefined, 200))
    if (!this.#stopped) this.#ready(room, permit)
  }

  /** Loads rooms that have records since the checkpoint, so that what they owe is sent and the checkpoint can rise. */
  async loadAll(signal: AbortSignal): Promise<void> {
    while (!this.complete && !this.#stopped && !signal.aborted) {
      for (const id of [...this.#unloaded.keys()]) {
        if (this.#stopped || signal.aborted) return
        if (this.#rooms.has(id) || !this.#unloaded.has(id)) continue
        const room = new RoomActor<State>(id, this.#context.behavior.empty(id))
        this.#rooms.set(id, room)
        await this.#open(room)
      }
      // What is left is being loaded by a command, or the store could not read it.
      if (!this.complete) await pause(RETRY_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  /** A recent event's frame, if memory has it. */
  recent(id: RoomId, seq: number): Uint8Array | undefined {
    const tail = this.#rooms.get(id)?.tail
    const entry = tail?.[seq - (tail[0]?.seq ?? 0)]
    return entry?.position === 0 ? undefined : entry?.frame
  }

  /** Drops rooms that nobody used since `before` (ms) and that owe nothing. */
  passivate(before: number): void {
    const floor = this.#context.historyFloor(this.#p)
    for (const room of this.#rooms.values()) {
      const idle = room.ready && room.usedAt < before && room.dirtySince === 0
      const safe = room.lastPosition === room.savedPosition && room.tickets.size === 0
      if (idle && safe && room.archived(floor) && !this.#driver.undecided(room)) {
        this.#rooms.delete(room.id)
      }
    }
  }

  /** Forgets everything; who waits for a room is told that it has moved (contracts L9). */
  stop(): void {
    this.#stopped = true
    for (const room of this.#rooms.values()) {
      for (const { origin } of room.mailbox) origin.outlet.moved(origin.token, origin.attempt)
    }
    this.#rooms.clear()
    this.#unloaded.clear()
  }
}

/** A command that outlives the message it came in. */
const kept = (command: RoomCommand): RoomCommand =>
  command.name === 'send' ? { ...command, text: command.text.slice() } : command
