/**
 * A device that sends numbered texts into a room, several at once, and sends them again in their order wherever the
 * partition may be, until each is acked. It is judged by `Outbox`.
 */
import type { Outlet } from '../actor/outbound.ts'
import type { RoomId, UserId } from '../ids.ts'
import { encodeFrame, readFrame } from '../protocol/codec.ts'
import { Reader } from '../protocol/reader.ts'
import type { Outbox } from './invariants.ts'

/** Whom a frame for a room is handed to. */
export type Target = { put(user: UserId, frame: Uint8Array, attempt: number, outlet: Outlet): void }

type Given = {
  readonly user: UserId
  readonly room: RoomId
  readonly lineage: number
  /** Sequence of the user's join. */
  readonly join: number
  readonly outbox: Outbox
  readonly window: number
  /** Whether it is to send another one. */
  more(): boolean
  /** Whom to ask now. */
  target(): Target
  /** A text was acked with this sequence. */
  acked?(seq: number): void
}

const PATIENCE_MS = 100

export class TestSender {
  readonly #given: Given
  /** Frames of 1 … n; those that are acked are undefined. */
  readonly #frames: (Uint8Array | undefined)[] = []
  #low = 1
  #attempt = 0
  #wake: () => void = () => {}
  /** Answers for good that were no ack. */
  readonly refusals: string[] = []
  resends = 0
  /** The highest number that was acked, and how. */
  newest: { readonly frame: Uint8Array; readonly seq: number; readonly id: bigint } | undefined
  #newest = 0

  constructor(given: Given) {
    this.#given = given
  }

  /** How many it has sent. */
  get sent(): number {
    return this.#frames.length
  }

  /** Sends until there is no more; resolves when all are acked, or one was refused for good. */
  async run(signal: AbortSignal): Promise<void> {
    const { window, more } = this.#given
    while (this.refusals.length === 0) {
      signal.throwIfAborted()
      while (this.sent < this.#low + window - 1 && more()) this.#send(this.#add())
      if (this.#low > this.sent) return
      if (!(await this.#progress())) this.#again()
    }
  }

  #add(): number {
    const { room, lineage, join, user, outbox } = this.#given
    const n = this.#frames.length + 1
    const low = this.#low
    const text = `${user} ${n}`
    outbox.sent(n)
    this.#frames.push(
      encodeFrame('send', { req: n, room, lineage, join, n, low, text, peer: null }),
    )
    return n
  }

  /** Everything that is not acked, in its order, to whoever is the target now. */
  #again(): void {
    this.#attempt++
    this.resends++
    for (let n = this.#low; n <= this.#frames.length; n++) this.#send(n)
  }

  #send(n: number): void {
    const frame = this.#frames[n - 1]
    if (frame === undefined) return
    const { user, target } = this.#given
    const attempt = this.#attempt
    const trouble = () => {
      if (attempt === this.#attempt) this.#wake()
    }
    target().put(user, frame, attempt, {
      final: (_token, _attempt, answer) => this.#answer(n, frame, answer),
      later: trouble,
      moved: trouble,
    })
  }

  #answer(n: number, frame: Uint8Array, bytes: Uint8Array): void {
    const answer = readFrame(new Reader(bytes.slice()))
    if (answer.name !== 'ack') {
      this.refusals.push(`${n}: ${JSON.stringify(answer)}`)
      this.#wake()
      return
    }
    this.#given.outbox.acked(n, answer.seq, answer.id)
    this.#given.acked?.(answer.seq)
    if (n > this.#newest) {
      this.#newest = n
      this.newest = { frame, seq: answer.seq, id: answer.id }
    }
    this.#frames[n - 1] = undefined
    const before = this.#low
    while (this.#low <= this.#frames.length && this.#frames[this.#low - 1] === undefined)
      this.#low++
    if (this.#low > before) this.#wake()
  }

  /** False when nothing was acked for a while, or somebody said to come again. */
  #progress(): Promise<boolean> {
    const before = this.#low
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), PATIENCE_MS)
      this.#wake = () => {
        clearTimeout(timer)
        this.#wake = () => {}
        // A breath, so that a partition that moves is not asked in a tight loop.
        if (this.#low > before || this.refusals.length > 0) resolve(true)
        else setTimeout(() => resolve(false), 5)
      }
    })
  }
}
