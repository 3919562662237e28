/** What stands under each sequence of a room, by everyone's word: 20 bytes a message. */
import { Dense } from './dense.ts'
import type { Report } from './rules.ts'

/** Sequences and command numbers are below this. */
export const MOST = 0xfffffffe

export const ACKED = 1
export const SEEN = 2
/** Made by something that is not checked here: a dm's `created`, say. */
export const FOREIGN = 4

export const highOf = (id: bigint): number => Number(id >> 32n)
export const lowOf = (id: bigint): number => Number(id & 0xffffffffn)
const idOf = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low)

export class Ledger {
  readonly room: string
  readonly report: Report
  readonly #high = new Dense()
  readonly #low = new Dense()
  readonly #flags = new Dense()
  /** Which outbox sent it (its ordinal, from 1), and which of its commands it is. */
  readonly #by = new Dense()
  readonly #n = new Dense()
  #outboxes = 0
  /** The highest sequence that anybody spoke of. */
  head = 0

  constructor(room: string, report: Report) {
    this.room = room
    this.report = report
  }

  /** True when this observer's word agrees with what the others said. */
  note(seq: number, high: number, low: number, flag: typeof ACKED | typeof SEEN, who: string) {
    if (!Number.isInteger(seq) || seq < 1 || seq > MOST) {
      this.report('order', who, `there is no sequence ${seq}`)
      return false
    }
    const flags = this.#flags.get(seq)
    if ((flags & (ACKED | SEEN)) === 0) {
      this.#high.set(seq, high)
      this.#low.set(seq, low)
      if (seq > this.head) this.head = seq
    } else if (this.#high.get(seq) !== high || this.#low.get(seq) !== low) {
      const there = idOf(this.#high.get(seq), this.#low.get(seq))
      const rule = ((flags | flag) & ACKED) === 0 ? 'order' : 'lost'
      this.report(rule, who, `sequence ${seq} is ${idOf(high, low)} here, ${there} elsewhere`)
      return false
    }
    this.#flags.set(seq, flags | flag)
    return true
  }

  foreign(seq: number): void {
    this.#flags.set(seq, this.#flags.get(seq) | FOREIGN)
  }

  /** The ordinal of a new outbox. */
  enlist(): number {
    return ++this.#outboxes
  }

  /** The event is command `n` of an outbox, by an ack or by its content; another word was heard when it is false. */
  claim(seq: number, by: number, n: number): boolean {
    if (this.#by.get(seq) === 0) {
      this.#by.set(seq, by)
      this.#n.set(seq, n)
    }
    return this.#by.get(seq) === by && this.#n.get(seq) === n
  }

  /** Acks that nobody saw an event of, and with `settled` events without an ack. */
  finish(settled: boolean): void {
    for (let seq = 1; seq <= this.head; seq++) {
      const flags = this.#flags.get(seq)
      if ((flags & (ACKED | SEEN)) === ACKED) {
        this.report('lost', this.room, `sequence ${seq} was acked and nobody saw it`)
      }
      if (settled && (flags & SEEN) !== 0 && (flags & (ACKED | FOREIGN)) === 0) {
        this.report('balance', this.room, `sequence ${seq} was seen and never acked`)
      }
    }
  }

  /** Answers where the next id would go. */
  copyIds(into: BigUint64Array, from: number): number {
    let at = from
    for (let seq = 1; seq <= this.head; seq++) {
      if ((this.#flags.get(seq) & (ACKED | SEEN)) === 0) continue
      into[at++] = idOf(this.#high.get(seq), this.#low.get(seq))
    }
    return at
  }

  placesOf(id: bigint): string[] {
    const places = []
    for (let seq = 1; seq <= this.head; seq++) {
      if (this.#low.get(seq) === lowOf(id) && this.#high.get(seq) === highOf(id)) {
        places.push(`${this.room} sequence ${seq}`)
      }
    }
    return places
  }
}
