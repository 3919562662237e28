/**
 * The commands of this profile to one room, in their order. Decides what is numbered, what is sent when, and what a
 * reply comes to; does no I/O. outbox.ts stores, sends and tells the app.
 *
 *   slots: [ numbered … sent | numbered, to send | not numbered yet … ]
 *
 * N1 Numbers are 1, 2, 3 … in one lineage and join; none is 32 or more past the lowest unsettled one. A slot is sent
 *    only once it is stored.
 * N3 After a refusal for now everything from that number on goes again, in order, with the same bytes.
 * N4 In doubt nothing is sent: once no reply is outstanding, the history is asked; what is not in it gets new numbers
 *    in a new lineage.
 */
import type { ParleyError } from '../errors.ts'
import { LIMITS } from '../protocol/frames.ts'
import { encodeTail } from './command.ts'
import type { Tally } from './saved.ts'
import type { Ack, Slot } from './slot.ts'
import { VERDICTS } from './verdicts.ts'

export type Told =
  | { readonly kind: 'ack'; readonly ack: Ack }
  | { readonly kind: 'error'; readonly error: ParleyError }
  | { readonly kind: 'lost' }

/** What the outbox has to do for a lane before it can number more. */
export type Need = 'lineage' | 'join' | 'nothing'

const FIRST_PAUSE = 50
const LONGEST_PAUSE = 5_000

export class Lane {
  readonly slots: Slot[] = []
  tally: Tally | undefined
  /** The user's join as the room itself told it; `asks` while that has to be asked (again). */
  join: number | undefined
  asks = false
  /** How many of `slots`, from the first, were sent and not told to come again. */
  #sent = 0
  #numbered = 0
  /** How many may be without a reply: halves when the server is pressed, grows with acks. */
  #window: number = LIMITS.pipeline
  #tries = 0
  #doubting = false
  pausedUntil = 0

  add(slot: Slot): void {
    if (slot.numbers !== undefined) this.#numbered++
    this.slots.push(slot)
  }

  get doubting(): boolean {
    return this.#doubting
  }

  /** Numbers what may be numbered, given the newest lineage at hand and the user's join in the room. */
  number(lineage: number | undefined, join: number | undefined): Slot[] | Need {
    const first = this.slots[this.#numbered]
    if (first === undefined || this.#doubting) return 'nothing'
    // A group is made by command 1 of its creator, whose join is 0.
    const known = join === undefined ? this.join : Math.max(join, this.join ?? 0)
    const joined = first.command.name === 'create' ? 0 : this.asks ? undefined : known
    if (joined === undefined) return 'join'
    const tally = this.#tallyFor(lineage, joined)
    if (tally === undefined) return 'lineage'
    const oldest = this.slots[0]?.numbers
    const other =
      oldest !== undefined && (oldest.lineage !== tally.lineage || oldest.join !== tally.join)
    // What was numbered otherwise is settled first: the order of the room is the order of the app.
    if (other) return 'nothing'
    const numbered: Slot[] = []
    let { n } = tally
    // The room keeps outcomes from `low` on, and refuses to keep more than it may: the span counts, not the number.
    const low = oldest?.n ?? n + 1
    while (this.#numbered < this.slots.length && n + 1 - low < LIMITS.pipeline) {
      const slot = this.slots[this.#numbered]!
      n++
      const numbers = { lineage: tally.lineage, join: joined, n }
      slot.numbers = numbers
      slot.tail = encodeTail(slot.command, { ...numbers, low })
      slot.stored = false
      this.#numbered++
      numbered.push(slot)
    }
    if (numbered.length === 0) return 'nothing'
    this.tally = { ...tally, n }
    return numbered
  }

  #tallyFor(lineage: number | undefined, join: number): Tally | undefined {
    const { tally } = this
    if (tally !== undefined && !tally.spent && tally.join === join) return tally
    if (lineage === undefined || (tally !== undefined && lineage <= tally.lineage)) return undefined
    return { lineage, join, n: 0, spent: false }
  }

  /** The next slot to send now, if any; `sent` must follow. */
  due(now: number): Slot | undefined {
    if (this.#doubting || now < this.pausedUntil) return undefined
    const slot = this.slots[this.#sent]
    if (slot === undefined || !slot.stored || slot.numbers === undefined) return undefined
    return this.#sent < Math.max(1, Math.floor(this.#window)) ? slot : undefined
  }

  /** `slot`, which `due` gave, is on its way. */
  sent(slot: Slot, req: number): void {
    slot.req = req
    slot.attempts++
    this.#sent++
  }

  /** Takes the reply to attempt `req`. The result, if any, settles the slot. */
  told(
    slot: Slot,
    req: number,
    told: Told,
    now: number,
    random: number,
  ): Ack | ParleyError | undefined {
    const index = this.slots.indexOf(slot)
    if (index < 0) return undefined
    const newest = slot.req === req
    if (newest) slot.req = 0
    if (told.kind === 'ack') {
      this.#tries = 0
      this.#window = Math.min(LIMITS.pipeline, this.#window + 1 / this.#window)
      this.#settle(index, told.ack)
      return told.ack
    }
    if (told.kind === 'lost') {
      if (newest) this.#sent = Math.min(this.#sent, index)
      return undefined
    }
    const { error } = told
    switch (VERDICTS[error.code]) {
      case 'again':
        // A newer attempt is under way: its reply counts (contracts O4).
        if (newest) this.#again(index, error.retryAfterMs, now, random)
        return undefined
      case 'back':
        if (newest) this.#back(index, Number(error.message), now, random)
        return undefined
      case 'settled':
        // Never sent before, yet decided: somebody else used this number.
        if (slot.attempts === 1 && !slot.restored) this.#doubt(slot, undefined)
        else this.#doubt(slot, error)
        return undefined
      case 'doubt':
        this.#doubt(slot, undefined)
        return undefined
      case 'stale':
        this.asks = true
        this.#spend()
        this.#doubt(slot, error)
        return undefined
      case 'outside':
        this.asks = true
        this.#spend()
        this.#settle(index)
        return error
      case 'refused':
        this.#settle(index)
        return error
    }
  }

  #settle(index: number, ack?: Ack): void {
    const [slot] = this.slots.splice(index, 1)
    if (ack !== undefined) this.#bound(index, ack.seq)
    if (slot?.numbers !== undefined) this.#numbered--
    if (index < this.#sent) this.#sent--
  }

  /** What an ack tells of the others: they stand in the room's order as they stand here. */
  #bound(index: number, seq: number): void {
    for (const earlier of this.slots.slice(0, index)) earlier.before = Math.min(earlier.before, seq)
    // Those further back than a pipeline are bounded by the acks that come before they are sent.
    for (const later of this.slots.slice(index, index + LIMITS.pipeline)) {
      later.after = Math.max(later.after, seq)
    }
  }

  #again(index: number, retryAfter: number, now: number, random: number): void {
    if (index < this.#sent) {
      this.#sent = index
      this.#window = Math.max(1, this.#window / 2)
      this.#pause(retryAfter, now, random)
      // The others of the same flight are refused with it: that is no new sign of pressure.
    } else this.pausedUntil = Math.max(this.pausedUntil, now + retryAfter)
  }

  #pause(retryAfter: number, now: number, random: number): void {
    const grown = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(this.#tries, 20))
    this.#tries++
    // A server that always says "in a moment" is left alone for longer each time, until something is acked.
    const wait = Math.max(retryAfter * (1 + random / 2), grown * (0.5 + random / 2))
    this.pausedUntil = Math.max(this.pausedUntil, now + wait)
  }

  #back(index: number, wanted: number, now: number, random: number): void {
    const target = Number.isSafeInteger(wanted)
      ? this.slots.findIndex((slot) => slot.numbers?.n === wanted)
      : 0
    if (target < 0 || target > index) {
      // It misses one that was refused without a record: nothing from there on is decided.
      this.#doubt(this.slots[index]!, undefined)
      return
    }
    // That one is waiting for its turn already, or on its way again.
    if (target >= this.#sent) return
    this.#sent = target
    if (this.slots[target]!.attempts > 1) this.#pause(0, now, random)
  }

  #doubt(slot: Slot, error: ParleyError | undefined): void {
    slot.doubt = error === undefined ? { kind: 'unknown' } : { kind: 'gone', error }
    this.#doubting = true
  }

  /** No number more under this lineage. */
  #spend(): void {
    if (this.tally !== undefined) this.tally = { ...this.tally, spent: true }
  }

  /** The slots to look for in the history, once no reply is outstanding; undefined before that, or without doubt. */
  doubtful(): Slot[] | undefined {
    const numbered = this.slots.slice(0, this.#numbered)
    if (!this.#doubting || numbered.some((slot) => slot.req !== 0)) return undefined
    if (numbered.some((slot) => slot.doubt?.kind === 'unknown')) {
      for (const slot of numbered) slot.doubt ??= { kind: 'unknown' }
    }
    return numbered.filter((slot) => slot.doubt !== undefined)
  }

  /**
   * Ends the doubt with what the history holds. Returns what is settled by it; the rest is numbered anew, in a new
   * lineage, and keeps its order.
   */
  resolve(found: ReadonlyMap<Slot, Ack>): Map<Slot, Ack | ParleyError> {
    const settled = new Map<Slot, Ack | ParleyError>()
    for (const slot of this.slots.slice(0, this.#numbered)) {
      const { doubt } = slot
      if (doubt === undefined) continue
      const ack = found.get(slot)
      if (ack !== undefined) settled.set(slot, ack)
      else if (doubt.kind === 'gone') settled.set(slot, doubt.error)
      else this.#unnumber(slot)
      if (doubt.kind === 'unknown') this.#spend()
    }
    for (const slot of settled.keys()) this.#settle(this.slots.indexOf(slot), found.get(slot))
    this.#doubting = false
    this.#sent = 0
    return settled
  }

  #unnumber(slot: Slot): void {
    slot.numbers = undefined
    slot.tail = undefined
    slot.stored = false
    slot.attempts = 0
    slot.doubt = undefined
    this.#numbered--
  }

  /** Takes out the slots that were never numbered, so never sent. */
  withdraw(): Slot[] {
    return this.slots.splice(this.#numbered)
  }
}
