/** How placement writes and follows its buckets: every failure is tried again, until the signal aborts. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Bucket, Entry } from '../bus/bus.ts'
import { type Members, toJson } from '../bus/cluster.ts'
import { MEMBERS_KEY, readMembers, type Step } from './members.ts'

export type Pace = {
  /** 0 ≤ random() < 1 */
  random(): number
  /** A try failed. */
  failed(cause: unknown): void
}

const BACKOFF_MS = 20
const BACKOFF_MAX_MS = 1000
const READY_MS = 5000

const MORE = Symbol('more')

/** The work may go on after the signal has aborted, but nobody waits for it. */
const orAborted = async <T>(work: Promise<T>, signal: AbortSignal): Promise<T> => {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Works until it answers something other than `again`. @throws the signal's reason */
const persist = async <T>(
  pace: Pace,
  signal: AbortSignal,
  work: (again: typeof MORE) => Promise<T | typeof MORE>,
): Promise<T> => {
  for (let backoff = BACKOFF_MS; ; backoff = Math.min(backoff * 2, BACKOFF_MAX_MS)) {
    signal.throwIfAborted()
    try {
      const result = await orAborted(work(MORE), signal)
      if (result !== MORE) return result
    } catch (cause) {
      signal.throwIfAborted()
      pace.failed(cause)
    }
    await pause(backoff * (0.5 + pace.random()), undefined, { signal })
  }
}

/**
 * Reads a key and replaces it by what `next` makes of it, until nobody came between. Answers the entry as it is then:
 * written here, or, when `next` gave undefined, as it was read. A write that seemed to fail and did not is found by
 * `next` when it reads again.
 */
export const change = (
  open: () => Promise<Bucket>,
  key: string,
  next: (entry: Entry | undefined) => Uint8Array | undefined,
  pace: Pace,
  signal: AbortSignal,
  known?: Entry,
): Promise<Entry | undefined> => {
  let hint = known
  return persist(pace, signal, async (again) => {
    const bucket = await open()
    const entry = hint ?? (await bucket.get(key))
    // A hint serves once: if it is old, the write is refused and the key is read.
    hint = undefined
    const value = next(entry)
    if (value === undefined) return entry
    // Nobody waits any more: what was decided then must not be written now.
    signal.throwIfAborted()
    const revision = await bucket.cas(key, value, entry?.revision ?? 0)
    return revision === undefined ? again : { key, value, revision }
  })
}

/**
 * Changes the members (contracts O2): the view rises by one with every change, and above `floor` in any case. Answers
 * the members as they are then.
 */
export const changeMembers = async (
  open: () => Promise<Bucket>,
  step: Step,
  floor: number,
  pace: Pace,
  signal: AbortSignal,
): Promise<Members> => {
  const entry = await change(
    open,
    MEMBERS_KEY,
    (found) => {
      const { view, hosts } = readMembers(found)
      const next = step(hosts) ?? (view < floor ? hosts : undefined)
      return next && toJson({ view: Math.max(view, floor) + 1, hosts: next } satisfies Members)
    },
    pace,
    signal,
  )
  return readMembers(entry)
}

/** Follows a bucket for as long as the signal lasts. A watch that may have missed something is replaced by a new one. */
export class Following {
  readonly #open: () => Promise<Bucket>
  readonly #onEntry: (entry: Entry) => void
  readonly #pace: Pace
  readonly #signal: AbortSignal
  #stop: (() => void) | undefined
  #wanted = 0
  #work: Promise<void> | undefined

  constructor(
    open: () => Promise<Bucket>,
    onEntry: (entry: Entry) => void,
    pace: Pace,
    signal: AbortSignal,
  ) {
    this.#open = open
    this.#onEntry = onEntry
    this.#pace = pace
    this.#signal = signal
    signal.addEventListener('abort', () => this.#stop?.(), { once: true })
  }

  /** Reads everything again and goes on from there. Resolves when that is done. @throws the signal's reason */
  renew(): Promise<void> {
    this.#wanted++
    this.#work ??= this.#renew().finally(() => {
      this.#work = undefined
    })
    return this.#work
  }

  async #renew(): Promise<void> {
    let done = 0
    while (done < this.#wanted) {
      const wanted = this.#wanted
      await persist(this.#pace, this.#signal, () => this.#watch())
      done = wanted
    }
  }

  async #watch(): Promise<void> {
    const bucket = await this.#open()
    const { promise: ready, resolve } = Promise.withResolvers<'ready'>()
    const stop = await bucket.watch(
      (entry) => this.#onEntry(entry),
      () => resolve('ready'),
    )
    if (this.#signal.aborted) {
      stop()
      return
    }
    const given = new AbortController()
    const signal = AbortSignal.any([given.signal, this.#signal])
    try {
      const late = pause(READY_MS, undefined, { signal })
      const first = await Promise.race([ready, late.catch(() => 'aborted' as const)])
      if (first !== 'ready') throw new Error('a watch did not become ready')
    } catch (error) {
      stop()
      throw error
    } finally {
      given.abort()
    }
    this.#stop?.()
    this.#stop = stop
  }
}
