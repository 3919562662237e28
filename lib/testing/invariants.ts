/**
 * What must hold of a recorded history, whatever was killed meanwhile: tests, e2e and bench judge by this alone.
 * Observations go in as they are made, in any interleaving; `finish` judges what only the end can tell. Exact, and
 * about 20 bytes a message: dense arrays per room, no object per message.
 *
 *   const check = new Invariants()
 *   const room = check.room('g…')
 *   const outbox = room.outbox('anna/1')          what one lineage sends: n = 1, 2, 3 …
 *   outbox.sent(1); outbox.acked(1, 7, id)
 *   const bert = room.reader('bert', { from: 1 }) what one device gets
 *   bert.saw(7, id, outbox, 1)                    the command too, where the text tells it
 *   check.finish({ settled: true })               all violations
 */
import { Ledger } from './invariants/ledger.ts'
import { Outbox } from './invariants/outbox.ts'
import { Reader } from './invariants/reader.ts'
import type { Report, Rule, Violation } from './invariants/rules.ts'

export type { Outbox } from './invariants/outbox.ts'
export type { Reader } from './invariants/reader.ts'
export { RULES, type Rule, type Violation } from './invariants/rules.ts'

/** Violations kept with their words; all are counted. */
const KEPT = 200

export class Invariants {
  readonly #rooms = new Map<string, RoomCheck>()
  readonly #positions = new Map<string, number>()
  readonly #counts = new Map<Rule, number>()
  readonly violations: Violation[] = []

  readonly #report: Report = (rule, where, what) => {
    this.#counts.set(rule, (this.#counts.get(rule) ?? 0) + 1)
    if (this.violations.length < KEPT) this.violations.push({ rule, where, what })
  }

  room(id: string): RoomCheck {
    let room = this.#rooms.get(id)
    if (room === undefined) {
      room = new RoomCheck(id, this.#report)
      this.#rooms.set(id, room)
    }
    return room
  }

  /** `name` says whose and which: a cursor, a read position, the time in a room. */
  position(name: string, value: number): void {
    const before = this.#positions.get(name)
    if (before !== undefined && value < before) {
      this.#report('position', name, `fell from ${before} to ${value}`)
    } else this.#positions.set(name, value)
  }

  /** How many violations of each rule there were; rules that held are not in it. */
  get counts(): Partial<Record<Rule, number>> {
    return Object.fromEntries(this.#counts)
  }

  get total(): number {
    let total = 0
    for (const count of this.#counts.values()) total += count
    return total
  }

  /** Distinct commands acked, and deliveries without repeats, so far. */
  get acked(): number {
    let sum = 0
    for (const room of this.#rooms.values()) sum += room.acked
    return sum
  }

  get delivered(): number {
    let sum = 0
    for (const room of this.#rooms.values()) sum += room.delivered
    return sum
  }

  /**
   * Judges the whole. `settled`: every command was answered and every event could reach its readers, so acks and
   * events must match one to one.
   */
  finish({ settled }: { settled: boolean }): readonly Violation[] {
    let size = 0
    for (const room of this.#rooms.values()) {
      room.finish(settled)
      size += room.head
    }
    this.#uniqueIds(size)
    return this.violations
  }

  /** No id twice, in whatever rooms: sorted once, so that no set of millions is needed. */
  #uniqueIds(size: number): void {
    const ids = new BigUint64Array(size)
    let at = 0
    for (const room of this.#rooms.values()) at = room.copyIds(ids, at)
    ids.subarray(0, at).sort()
    const twice = new Set<bigint>()
    for (let i = 1; i < at; i++) if (ids[i] === ids[i - 1]) twice.add(ids[i]!)
    for (const id of twice) {
      const places = [...this.#rooms.values()].flatMap((room) => room.placesOf(id))
      this.#report('duplicate', places.join(' and '), `message id ${id}`)
    }
  }
}

/** One room: who sends into it and who reads it. */
export class RoomCheck {
  readonly id: string
  readonly #ledger: Ledger
  readonly #outboxes: Outbox[] = []
  readonly #readers: Reader[] = []

  constructor(id: string, report: Report) {
    this.id = id
    this.#ledger = new Ledger(id, report)
  }

  /** The highest sequence that anybody spoke of. */
  get head(): number {
    return this.#ledger.head
  }

  get acked(): number {
    return this.#outboxes.reduce((sum, outbox) => sum + outbox.acks, 0)
  }

  get delivered(): number {
    return this.#readers.reduce((sum, reader) => sum + reader.delivered, 0)
  }

  /** One lineage of one device. With `reader`, its acks count as seen by that reader: a session gets no own events. */
  outbox(name: string, reader?: Reader): Outbox {
    const own = reader === undefined ? undefined : (seq: number) => reader.ownEvent(seq)
    const outbox = new Outbox(this.#ledger, `${this.id} ${name}`, own)
    this.#outboxes.push(outbox)
    return outbox
  }

  /**
   * One device, due everything from `from` on. `strict`: what an application shows, each once and in order;
   * otherwise what arrives: repeats are dropped and holes may be filled later, as clients do.
   */
  reader(name: string, options: { from?: number; strict?: boolean } = {}): Reader {
    const { from = 1, strict = false } = options
    const reader = new Reader(this.#ledger, `${this.id} ${name}`, from, strict)
    this.#readers.push(reader)
    return reader
  }

  /** An event that no outbox here sent: it needs no ack. */
  foreign(seq: number): void {
    this.#ledger.foreign(seq)
  }

  /** By `Invariants.finish`. */
  finish(settled: boolean): void {
    this.#ledger.finish(settled)
    for (const outbox of this.#outboxes) outbox.finish(settled)
    for (const reader of this.#readers) reader.finish(this.head)
  }

  copyIds(into: BigUint64Array, from: number): number {
    return this.#ledger.copyIds(into, from)
  }

  placesOf(id: bigint): string[] {
    return this.#ledger.placesOf(id)
  }
}
