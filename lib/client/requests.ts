/**
 * The requests of one connection that wait for their reply, by request number. Owns the deadlines; never sends.
 * A request ends once: with its reply, or with `lost` when the connection or its deadline went first.
 */
import type { ServerFrame } from '../protocol/frames.ts'

type Replying = Extract<ServerFrame, { req: number }>
export type Reply = Replying | { readonly name: 'lost' }
export type Done = (reply: Reply) => void

const MOST = 0xffffffff
const LOST: Reply = { name: 'lost' }

export class Requests {
  readonly #waiting = new Map<number, { done: Done; deadline: number }>()
  #last = 0

  get size(): number {
    return this.#waiting.size
  }

  /** The number for a new request, which must be answered before `deadline` (monotonic ms). */
  add(done: Done, deadline: number): number {
    do this.#last = this.#last >= MOST ? 1 : this.#last + 1
    while (this.#waiting.has(this.#last))
    this.#waiting.set(this.#last, { done, deadline })
    return this.#last
  }

  /** False when nobody waits for it, for instance because its deadline has passed. */
  settle(reply: Replying): boolean {
    const waiting = this.#waiting.get(reply.req)
    if (waiting === undefined) return false
    this.#waiting.delete(reply.req)
    waiting.done(reply)
    return true
  }

  /** Ends those whose deadline has passed. */
  expire(now: number): void {
    for (const [req, { done, deadline }] of this.#waiting) {
      if (deadline > now) continue
      this.#waiting.delete(req)
      done(LOST)
    }
  }

  /** Ends all: the connection is gone. */
  lose(): void {
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { done } of waiting) done(LOST)
  }
}
