/**
 * One lineage's way into one room: numbers commands, keeps what is unsettled so that a resend is the same command to
 * the byte (contracts N2), and never has more than `pipeline` unsettled (N1).
 */
import type { RoomId } from '../../lib/ids.ts'
import { LIMITS } from '../../lib/protocol/frames.ts'
import type { Outbox } from '../../lib/testing/invariants.ts'
import type { RoomView } from './room-view.ts'
import type { SendFrame } from './send-frame.ts'

const SLOTS = LIMITS.pipeline

const FREE = 0
const IN_FLIGHT = 1
const REFUSED = 2

export class Lane {
  readonly index: number
  /** The sender's own sight of the room. */
  readonly view: RoomView
  readonly frame: SendFrame
  readonly check: Outbox
  /** Closed loop: how many may be unsettled. */
  window: number = SLOTS
  /** The last number given, and the lowest that is not settled. */
  n: number
  low: number
  /** Refused for now; all of it goes out again, in order, when nothing is in flight and `retryAt` (µs) has come. */
  refused = 0
  retryAt = 0
  readonly #lows = new Uint32Array(SLOTS)
  readonly #dues = new Float64Array(SLOTS)
  readonly #states = new Uint8Array(SLOTS)
  /** Due times of sends that wait for their turn, oldest first. */
  #waiting: number[] = []
  #waitingFrom = 0

  /** `settled`: commands of this lineage in this room that are done already. */
  constructor(index: number, view: RoomView, frame: SendFrame, check: Outbox, settled = 0) {
    this.index = index
    this.view = view
    this.frame = frame
    this.check = check
    this.n = settled
    this.low = settled + 1
  }

  get room(): RoomId {
    return this.view.room
  }

  get unsettled(): number {
    let count = 0
    for (let n = this.low; n <= this.n; n++) if (this.#states[n % SLOTS] !== FREE) count++
    return count
  }

  get waiting(): number {
    return this.#waiting.length - this.#waitingFrom
  }

  get idle(): boolean {
    return this.low > this.n && this.waiting === 0
  }

  get canSend(): boolean {
    return this.refused === 0 && this.n - this.low + 1 < Math.min(this.window, SLOTS)
  }

  /** When the oldest unsettled or waiting send was due, µs; undefined when there is none. */
  get oldestDue(): number | undefined {
    if (this.low <= this.n) return this.#dues[this.low % SLOTS]
    return this.#waiting[this.#waitingFrom]
  }

  wait(dueUs: number): void {
    this.#waiting.push(dueUs)
  }

  /** The next that waits; undefined when none does. */
  nextDue(): number | undefined {
    const due = this.#waiting[this.#waitingFrom]
    if (due === undefined) return undefined
    this.#waitingFrom++
    if (this.#waitingFrom > 1024 && this.#waitingFrom * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#waitingFrom)
      this.#waitingFrom = 0
    }
    return due
  }

  /** Forgets what waits; answers how many. */
  dropWaiting(): number {
    const dropped = this.waiting
    this.#waiting = []
    this.#waitingFrom = 0
    return dropped
  }

  /** The number of a new command. */
  begin(dueUs: number): number {
    const n = ++this.n
    const slot = n % SLOTS
    this.#lows[slot] = this.low
    this.#dues[slot] = dueUs
    this.#states[slot] = IN_FLIGHT
    this.check.sent(n)
    return n
  }

  dueOf(n: number): number {
    return this.#dues[n % SLOTS]!
  }

  /** Writes command n, for the first time or again: the same bytes but for `req`. */
  write(into: Uint8Array, at: number, req: number, n: number): number {
    const slot = n % SLOTS
    return this.frame.write(into, at, req, n, this.#lows[slot]!, this.#dues[slot]!)
  }

  /** False when it was settled before. */
  settle(n: number): boolean {
    const slot = n % SLOTS
    if (n < this.low || this.#states[slot] === FREE) return false
    if (this.#states[slot] === REFUSED) this.refused--
    this.#states[slot] = FREE
    while (this.low <= this.n && this.#states[this.low % SLOTS] === FREE) this.low++
    return true
  }

  refuseForNow(n: number, retryAtUs: number): void {
    const slot = n % SLOTS
    if (n < this.low || this.#states[slot] !== IN_FLIGHT) return
    this.#states[slot] = REFUSED
    this.refused++
    this.retryAt = Math.max(this.retryAt, retryAtUs)
  }

  /** What must go out again, in order: the refused when nothing else is in flight, or all of it (`lost`). */
  again(lost: boolean): number[] {
    const numbers = []
    for (let n = this.low; n <= this.n; n++) {
      const state = this.#states[n % SLOTS]
      if (state === FREE) continue
      if (state === IN_FLIGHT && !lost) return []
      numbers.push(n)
    }
    for (const n of numbers) this.#states[n % SLOTS] = IN_FLIGHT
    this.refused = 0
    this.retryAt = 0
    return numbers
  }
}
