import { Ranges } from './dense.ts'
import { highOf, type Ledger, lowOf, MOST, SEEN } from './ledger.ts'
import type { Outbox } from './outbox.ts'

/** What one device gets of one room. */
export class Reader {
  readonly #ledger: Ledger
  readonly #name: string
  readonly #from: number
  readonly #strict: boolean
  readonly #got = new Ranges()
  #until = MOST
  #newest = 0
  #newestMs = 0
  delivered = 0
  repeats = 0

  constructor(ledger: Ledger, name: string, from: number, strict: boolean) {
    this.#ledger = ledger
    this.#name = name
    this.#from = from
    this.#strict = strict
  }

  /** The event `seq` is the last one this reader may see: its removal. */
  until(seq: number): void {
    this.#until = seq
    if (this.#got.highest > seq) {
      this.#ledger.report('leak', this.#name, `got ${this.#got.highest}, ${seq} was to be the last`)
    }
  }

  /** An event came, or was shown. With `outbox`, its content says that it is that one's command `n`. */
  saw(seq: number, id: bigint, outbox?: Outbox, n = 0): void {
    this.sawParts(seq, highOf(id), lowOf(id), outbox, n)
  }

  /** `saw` with the halves of the id, which makes no bigint. Answers whether it was new. */
  sawParts(seq: number, high: number, low: number, outbox?: Outbox, n = 0): boolean {
    if (seq < this.#from || seq > this.#until) {
      this.#ledger.report('leak', this.#name, `got ${seq}, may see ${this.#from} … ${this.#until}`)
    }
    if (!this.#ledger.note(seq, high, low, SEEN, this.#name)) return false
    outbox?.saw(n, seq)
    if (!this.#take(seq, seq)) return false
    this.delivered++
    return true
  }

  /** When an event happened, ms: time never falls within a room. What comes late is not compared. */
  time(seq: number, ms: number): void {
    if (seq < this.#newest) return
    if (ms < this.#newestMs) {
      const fell = `the time of ${seq} is ${ms}, that of ${this.#newest} ${this.#newestMs}`
      this.#ledger.report('position', this.#name, fell)
    }
    this.#newest = seq
    this.#newestMs = ms
  }

  /** Events that are not shown to this reader, by the word of the server. */
  skipped(first: number, last: number): void {
    this.#take(first, last)
  }

  /** The reader's own command was acked: it gets no event for it. */
  ownEvent(seq: number): void {
    this.#got.add(seq)
  }

  /** The first sequences due up to `head` that have not come; undefined when there are none. */
  missing(head = this.#ledger.head): { first: number; last: number } | undefined {
    return this.#got.missing(this.#from, Math.min(head, this.#until))
  }

  #take(first: number, last: number): boolean {
    const next = Math.max(this.#got.highest + 1, this.#from)
    const fresh = this.#got.add(first, last) > 0
    if (this.#strict && first > next) {
      this.#ledger.report('hole', this.#name, `${first} came after ${next - 1}`)
    }
    if (!fresh) {
      this.repeats++
      if (this.#strict) this.#ledger.report('duplicate', this.#name, `${first} was shown twice`)
    }
    return fresh
  }

  finish(head: number): void {
    const hole = this.missing(head)
    if (hole === undefined) return
    const { first, last } = hole
    this.#ledger.report('hole', this.#name, `${first} … ${last} never came; the head is ${head}`)
  }
}
