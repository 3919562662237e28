/**
 * Questions that change nothing in a room's order, so that they can simply be asked again: after a cut, after a refusal
 * for now, until the answer comes, the caller's patience ends or its signal aborts.
 */
import { ParleyError } from '../errors.ts'
import { encodeFrame } from '../protocol/codec.ts'
import type { Frame } from '../protocol/frames.ts'
import { Backoff } from './backoff.ts'
import type { Link } from './connection.ts'
import { errorOf } from './refusal.ts'
import type { Reply } from './requests.ts'
import { orAborted, sleep, type Time } from './time.ts'

const ANSWERS = {
  fetch: 'page',
  open: 'info',
  sync: 'changes',
  read: 'ok',
  queue: 'ok',
  queueAck: 'ok',
} as const
type Question = keyof typeof ANSWERS
export type Answer<Q extends Question> = Extract<Reply, { name: (typeof ANSWERS)[Q] }>

export type Patience = {
  readonly signal?: AbortSignal | undefined
  /** ms; without it there is no end. */
  readonly within?: number | undefined
}

const RETRY = { base: 200, cap: 5_000 }

export class Asker {
  readonly #link: Link
  readonly #time: Time
  #session = Promise.withResolvers<void>()
  #ended: ParleyError | undefined

  constructor(link: Link, time: Time) {
    this.#link = link
    this.#time = time
    this.#session.promise.catch(() => {})
  }

  /** A session began: who waits for one goes on. */
  opened(): void {
    this.#session.resolve()
  }

  cut(): void {
    this.#session.resolve()
    this.#session = Promise.withResolvers()
    this.#session.promise.catch(() => {})
  }

  /** There will be no session any more, until `again`. */
  end(reason: ParleyError): void {
    this.#ended = reason
    this.#session.reject(reason)
  }

  again(): void {
    if (this.#ended === undefined) return
    this.#ended = undefined
    this.cut()
  }

  /** @throws ParleyError when it is refused for good, the client ends or patience does; or the signal's reason. */
  async ask<Q extends Question>(
    question: Q,
    fields: Omit<Frame<Q>, 'req'>,
    { signal, within }: Patience = {},
  ): Promise<Answer<Q>> {
    const deadline = within === undefined ? undefined : this.#time.monotonic() + within
    const backoff = new Backoff(this.#time, RETRY)
    let last: ParleyError | undefined
    for (;;) {
      const left = deadline === undefined ? undefined : deadline - this.#time.monotonic()
      if (left !== undefined && left <= 0) throw late(last)
      const reply = await this.#try(question, fields, left, signal)
      if (reply === undefined) continue
      if (reply.name === ANSWERS[question]) return reply as Answer<Q>
      const error = reply.name === 'error' ? errorOf(reply) : new ParleyError('bad_frame')
      if (!error.canRetry) throw error
      last = error
      await sleep(this.#time, backoff.next(error.retryAfterMs), signal)
    }
  }

  /** One attempt; undefined when it was cut off, or no session came in the time that is left. */
  async #try<Q extends Question>(
    question: Q,
    fields: Omit<Frame<Q>, 'req'>,
    left: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Exclude<Reply, { name: 'lost' }> | undefined> {
    if (this.#ended !== undefined) throw this.#ended
    const { promise, resolve } = Promise.withResolvers<
      Exclude<Reply, { name: 'lost' }> | undefined
    >()
    const cancel = left === undefined ? () => {} : this.#time.after(left, () => resolve(undefined))
    try {
      if (!this.#link.inSession) {
        await orAborted(Promise.race([this.#session.promise, promise]), signal)
        if (!this.#link.inSession) return undefined
      }
      this.#link.request(
        (req) => encodeFrame(question, { ...fields, req } as unknown as Frame<Q>),
        (reply) => resolve(reply.name === 'lost' ? undefined : reply),
        left,
      )
      return await orAborted(promise, signal)
    } finally {
      cancel()
    }
  }
}

const late = (last: ParleyError | undefined): ParleyError =>
  new ParleyError('unavailable', {
    cause: last,
    detail: last?.message ?? 'No answer came in time.',
  })
