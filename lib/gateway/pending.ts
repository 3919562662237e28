/**
 * Commands without a reply. Each has a slot in parallel arrays and a place in its partition's list, which keeps the
 * order in which the commands came (contracts O4). Tokens are slot + use × 2^16, so a late reply to an earlier use
 * of a slot finds nothing.
 *
 *   partition p:  head ─next─▶ slot ─next─▶ slot … tail        (oldest first)
 *   frames:       CELL bytes a slot in slabs of 1024 slots; a larger frame has its own array
 */
import type { Token } from '../protocol/envelopes.ts'
import type { Session } from './session.ts'

export const SLOTS = 2 ** 16
const MASK = SLOTS - 1
const CELL = 256
const SLAB = 1024
export const NONE = -1

/** What to do with the answer. */
export const PURPOSE = { reply: 0, hello: 1, queueOn: 2, queueOff: 3, events: 4 } as const
/** Which actor is meant. */
export const TARGET = { room: 0, user: 1 } as const

export class Pending {
  readonly token = new Float64Array(SLOTS)
  /** 0 until it is sent. */
  readonly attempt = new Int32Array(SLOTS)
  readonly partition = new Int32Array(SLOTS)
  readonly target = new Uint8Array(SLOTS)
  readonly purpose = new Uint8Array(SLOTS)
  readonly req = new Uint32Array(SLOTS)
  /** When it came, and when it was last sent; monotonic ms. */
  readonly came = new Float64Array(SLOTS)
  readonly sent = new Float64Array(SLOTS)
  readonly next = new Int32Array(SLOTS)
  readonly session: (Session | undefined)[] = []
  readonly #previous = new Int32Array(SLOTS)
  readonly #head: Int32Array
  readonly #tail: Int32Array
  readonly #counts: Int32Array
  readonly #lengths = new Uint32Array(SLOTS)
  readonly #slabs: Uint8Array[] = []
  readonly #large = new Map<number, Uint8Array>()
  readonly #free = new Int32Array(SLOTS)
  #freed = 0
  #used = 0
  count = 0
  /** Of their frames. */
  bytes = 0

  constructor(partitions: number) {
    this.#head = new Int32Array(partitions).fill(NONE)
    this.#tail = new Int32Array(partitions).fill(NONE)
    this.#counts = new Int32Array(partitions)
  }

  head(p: number): number {
    return this.#head[p]!
  }

  /** Commands of a partition. */
  countOf(p: number): number {
    return this.#counts[p]!
  }

  /** Puts a command at the end of its partition; NONE when all slots are taken. */
  add(
    session: Session,
    p: number,
    target: number,
    purpose: number,
    req: number,
    frame: Uint8Array,
    now: number,
  ): number {
    let slot: number
    if (this.#freed > 0) slot = this.#free[--this.#freed]!
    else if (this.#used < SLOTS) {
      slot = this.#used++
      this.token[slot] = slot
    } else return NONE
    this.token[slot]! += SLOTS
    this.attempt[slot] = 0
    this.partition[slot] = p
    this.target[slot] = target
    this.purpose[slot] = purpose
    this.req[slot] = req
    this.came[slot] = now
    this.session[slot] = session
    this.#keep(slot, frame)
    const tail = this.#tail[p]!
    this.#previous[slot] = tail
    this.next[slot] = NONE
    if (tail === NONE) this.#head[p] = slot
    else this.next[tail] = slot
    this.#tail[p] = slot
    this.#counts[p]!++
    this.count++
    this.bytes += frame.length
    session.inFlight++
    return slot
  }

  /** The slot of a token that still waits, or NONE. */
  find(token: Token): number {
    const slot = token & MASK
    return this.token[slot] === token && this.session[slot] !== undefined ? slot : NONE
  }

  /** Its frame: a view. */
  frame(slot: number): Uint8Array {
    const length = this.#lengths[slot]!
    if (length > CELL) return this.#large.get(slot)!
    const at = (slot & (SLAB - 1)) * CELL
    return this.#slabs[(slot / SLAB) | 0]!.subarray(at, at + length)
  }

  remove(slot: number): void {
    const p = this.partition[slot]!
    const previous = this.#previous[slot]!
    const next = this.next[slot]!
    if (previous === NONE) this.#head[p] = next
    else this.next[previous] = next
    if (next === NONE) this.#tail[p] = previous
    else this.#previous[next] = previous
    this.#counts[p]!--
    this.count--
    this.bytes -= this.#lengths[slot]!
    const session = this.session[slot]
    if (session !== undefined) session.inFlight--
    this.session[slot] = undefined
    if (this.#lengths[slot]! > CELL) this.#large.delete(slot)
    this.#free[this.#freed++] = slot
  }

  #keep(slot: number, frame: Uint8Array): void {
    this.#lengths[slot] = frame.length
    if (frame.length > CELL) {
      this.#large.set(slot, frame.slice())
      return
    }
    const index = (slot / SLAB) | 0
    let slab = this.#slabs[index]
    if (slab === undefined) {
      slab = new Uint8Array(SLAB * CELL)
      this.#slabs[index] = slab
    }
    slab.set(frame, (slot & (SLAB - 1)) * CELL)
  }
}
