/**
 * The pointers that leave this host: coalesced per (user, room), many to a batch, one batch in flight per user
 * partition, retried until JetStream has it (contracts I2). Pointers are absolute and versioned, so repeating or
 * reordering them does no harm (contracts I1).
 */
import type { AppendReply } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import type { RoomId, UserId } from '../ids.ts'
import { writePointerEntry } from '../protocol/inbox.ts'
import { Writer } from '../protocol/writer.ts'

/** Counts the pointers of one flush of a room that are not safe yet. */
export type Ticket = { left: number; done: () => void }

export type InboxPort = {
  /** Appends to `inbox.<p>`; the answer comes to `PointerQueue.reply` with the same batch number. */
  append(p: number, bytes: Uint8Array, batch: number): void
}

type Waiting = {
  user: UserId
  room: RoomId
  version: number
  pointer: Uint8Array
  tickets: Ticket[]
}

type Lane = {
  waiting: Map<string, Waiting>
  /** Its INBOX is nearly full: pointers stay here (contracts L0). */
  held: boolean
  flight: { batch: number; bytes: Uint8Array; entries: Waiting[]; sentAt: number } | undefined
}

const BATCH_BYTES = 200 * 1024
/** Pointers of one batch share a position in the inbox, and a page of changes ends between positions. */
const PER_USER = 100
const NO_REPLY_MS = 1000

export class PointerQueue {
  readonly #port: InboxPort
  readonly #clock: Clock
  readonly #partitionOf: (user: UserId) => number
  readonly #lanes: Lane[]
  readonly #writer = new Writer(4096)
  #batch = 0

  constructor(
    port: InboxPort,
    partitions: number,
    partitionOf: (user: UserId) => number,
    clock: Clock,
  ) {
    this.#port = port
    this.#clock = clock
    this.#partitionOf = partitionOf
    this.#lanes = Array.from({ length: partitions }, () => ({
      waiting: new Map(),
      held: false,
      flight: undefined,
    }))
  }

  /** Pointers that are not safe yet. */
  get size(): number {
    let size = 0
    for (const lane of this.#lanes) size += lane.waiting.size + (lane.flight?.entries.length ?? 0)
    return size
  }

  /** Queues a pointer; `ticket` is counted down when it (or a newer one in its place) is safe. */
  offer(user: UserId, room: RoomId, version: number, pointer: Uint8Array, ticket: Ticket): void {
    const lane = this.#lanes[this.#partitionOf(user)]!
    const key = `${user}/${room}`
    const known = lane.waiting.get(key)
    if (known === undefined) {
      lane.waiting.set(key, { user, room, version, pointer, tickets: [ticket] })
      return
    }
    known.tickets.push(ticket)
    if (version < known.version) return
    known.version = version
    known.pointer = pointer
  }

  /** Holds the pointers to those partitions back, or lets them go. */
  hold(which: (p: number) => boolean, held: boolean): void {
    for (const [p, lane] of this.#lanes.entries()) if (which(p)) lane.held = held
  }

  /** Sends what waits, one batch per partition that has none in flight. */
  flush(): void {
    for (let p = 0; p < this.#lanes.length; p++) {
      const lane = this.#lanes[p]!
      this.#sendNext(p, lane)
    }
  }

  #sendNext(p: number, lane: Lane): void {
    if (lane.flight === undefined && lane.waiting.size > 0 && !lane.held) this.#send(p, lane)
  }

  #send(p: number, lane: Lane): void {
    const writer = this.#writer.reset()
    const entries: Waiting[] = []
    const perUser = new Map<UserId, number>()
    for (const [key, entry] of lane.waiting) {
      if (writer.length > BATCH_BYTES) break
      const count = perUser.get(entry.user) ?? 0
      if (count >= PER_USER) continue
      perUser.set(entry.user, count + 1)
      writePointerEntry(writer, entry.user, entry.room, entry.version, entry.pointer)
      entries.push(entry)
      lane.waiting.delete(key)
    }
    const bytes = writer.take()
    lane.flight = { batch: ++this.#batch, bytes, entries, sentAt: this.#clock.monotonic() }
    this.#port.append(p, bytes, this.#batch)
  }

  reply(p: number, batch: number, reply: AppendReply): void {
    const lane = this.#lanes[p]!
    if (lane.flight?.batch !== batch) return
    // Refused (full, no leader): `pulse` sends it again.
    if (!reply.ok) return
    const { entries } = lane.flight
    lane.flight = undefined
    for (const entry of entries) {
      for (const ticket of entry.tickets) if (--ticket.left === 0) ticket.done()
    }
    this.#sendNext(p, lane)
  }

  /** To be called every 100 ms or so; with `lost` after a reconnect. */
  pulse(lost = false): void {
    const now = this.#clock.monotonic()
    for (let p = 0; p < this.#lanes.length; p++) {
      const { flight } = this.#lanes[p]!
      if (flight !== undefined && (lost || now - flight.sentAt >= NO_REPLY_MS)) {
        flight.sentAt = now
        this.#port.append(p, flight.bytes, flight.batch)
      }
    }
  }

  /** Forgets the pointers of a partition's rooms: their host is no longer its owner (contracts L9). */
  discard(isGone: (room: RoomId) => boolean): void {
    for (const lane of this.#lanes) {
      for (const [key, entry] of lane.waiting) if (isGone(entry.room)) lane.waiting.delete(key)
    }
  }
}
