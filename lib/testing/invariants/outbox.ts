import { Dense } from './dense.ts'
import { ACKED, highOf, type Ledger, lowOf } from './ledger.ts'
import type { Rule } from './rules.ts'

const REFUSED = 0xffffffff

/** What one lineage sends into one room. */
export class Outbox {
  readonly #ledger: Ledger
  readonly #name: string
  readonly #ordinal: number
  readonly #own: ((seq: number) => void) | undefined
  /** n → the sequence of its ack, or REFUSED. */
  readonly #answered = new Dense()
  /** n → the sequence under which a reader saw it. */
  readonly #seen = new Dense()
  #sent = 0
  #answers = 0
  acks = 0

  /** `own` is told the sequence of each event of this outbox. */
  constructor(ledger: Ledger, name: string, own: ((seq: number) => void) | undefined) {
    this.#ledger = ledger
    this.#name = name
    this.#ordinal = ledger.enlist()
    this.#own = own
  }

  #report(rule: Rule, what: string): void {
    this.#ledger.report(rule, this.#name, what)
  }

  get unanswered(): number {
    return this.#sent - this.#answers
  }

  /** Before it leaves for the first time; again for a resend, which changes nothing. */
  sent(n: number): void {
    if (n === this.#sent + 1) this.#sent = n
    else if (n > this.#sent) throw new Error(`${this.#name}: ${n} sent after ${this.#sent}`)
  }

  acked(n: number, seq: number, id: bigint): void {
    this.ackedParts(n, seq, highOf(id), lowOf(id))
  }

  /** `acked` with the halves of the id, which makes no bigint. */
  ackedParts(n: number, seq: number, high: number, low: number): void {
    if (n < 1 || n > this.#sent) {
      this.#report('phantom', `an ack of command ${n}, which was not sent`)
      return
    }
    const before = this.#answered.get(n)
    if (before === 0) {
      this.#answered.set(n, seq)
      this.#answers++
      this.acks++
    } else if (before !== seq) {
      const was = before === REFUSED ? 'refused for good' : `acked with sequence ${before}`
      this.#report('ack', `command ${n} was ${was}, then acked with ${seq}`)
      return
    }
    if (!this.#ledger.note(seq, high, low, ACKED, this.#name)) return
    if (!this.#ledger.claim(seq, this.#ordinal, n)) {
      this.#report('ack', `command ${n} was acked with sequence ${seq}, which is another`)
    }
    this.#own?.(seq)
  }

  /** For good; refusals for now are nobody's business. */
  refused(n: number): void {
    const before = this.#answered.get(n)
    if (before === REFUSED) return
    if (before !== 0) {
      this.#report('ack', `command ${n} was acked with sequence ${before}, then refused`)
      return
    }
    this.#answered.set(n, REFUSED)
    this.#answers++
  }

  /** Somebody saw command n under this sequence. */
  saw(n: number, seq: number): void {
    if (n < 1 || n > this.#sent) {
      this.#report('phantom', `sequence ${seq} holds command ${n}, which was not sent`)
      return
    }
    if (!this.#ledger.claim(seq, this.#ordinal, n)) {
      this.#report('order', `sequence ${seq} is command ${n} here, another elsewhere`)
    }
    const before = this.#seen.get(n)
    if (before === 0) this.#seen.set(n, seq)
    else if (before !== seq) {
      this.#report('duplicate', `command ${n} under sequences ${before} and ${seq}`)
    }
  }

  finish(settled: boolean): void {
    let last = 0
    for (let n = 1; n <= this.#sent; n++) {
      const answered = this.#answered.get(n)
      const seen = this.#seen.get(n)
      if (settled && answered === 0) this.#report('balance', `command ${n} unanswered`)
      if (answered === REFUSED && seen !== 0) {
        this.#report('phantom', `command ${n} was refused, and is sequence ${seen}`)
      }
      const acked = answered === REFUSED ? 0 : answered
      if (acked !== 0 && seen !== 0 && acked !== seen) {
        this.#report('ack', `command ${n} was acked with ${acked}, and is ${seen}`)
      }
      const seq = seen === 0 ? acked : seen
      if (seq !== 0 && seq <= last) {
        this.#report('order', `command ${n} is sequence ${seq}, one before it ${last}`)
      }
      if (seq !== 0) last = seq
    }
  }
}
