/**
 * Brings account records to the user actors (contracts I6): publishes the rows of the outbox until each is confirmed.
 * Owns no state but its loop; whatever it forgets, the rows remember.
 *
 * Invariant: a row is confirmed only after `publishAccount` resolved for exactly its version.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type Clock, systemClock } from '../clock.ts'
import { ParleyError } from '../errors.ts'
import type { UserId } from '../ids.ts'
import type { Log } from '../log.ts'
import { type AccountRecord, decodeAccount } from '../protocol/account.ts'
import type { Service } from '../service.ts'
import type { DirectoryStore, OutboxRow } from '../store/directory/directory.ts'

export type OutboxParts = {
  readonly directory: Pick<DirectoryStore, 'pending' | 'published' | 'resend'>
  /** Resolves when the record is in the user's inbox for good; may be called again with the same one. */
  readonly publishAccount: (record: AccountRecord) => Promise<void>
  readonly log: Pick<Log, 'warn'>
  readonly clock?: Clock
}

/** Rows of one pass, all published at once. */
const AT_ONCE = 256
const PUBLISH_MS = 5_000
const IDLE_MS = 1_000
const RETRY_MS = { first: 50, most: 5_000 }

export class Outbox implements Service {
  readonly name = 'outbox'
  readonly #parts: OutboxParts
  readonly #clock: Clock
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #woken = new AbortController()

  constructor(parts: OutboxParts) {
    this.#parts = parts
    this.#clock = parts.clock ?? systemClock
  }

  async start(): Promise<void> {
    this.#running = this.#run()
  }

  /** Tries once more what is pending; what is left then waits for the next start. */
  async drain(deadline: number): Promise<void> {
    this.#stop.abort()
    this.wake()
    await this.#running
    if (this.#clock.monotonic() < deadline) await this.#pass()
  }

  /** Looks into the outbox now and not within a second. */
  wake(): void {
    this.#woken.abort()
  }

  /** True when the user's newest record is confirmed within `withinMs`; otherwise it goes on trying by itself. */
  async confirm(user: UserId, withinMs: number): Promise<boolean> {
    const deadline = this.#clock.monotonic() + withinMs
    for (let pause = RETRY_MS.first; ; pause *= 2) {
      const left = deadline - this.#clock.monotonic()
      try {
        const [row] = await this.#parts.directory.pending(1, user)
        if (row === undefined) return true
        await this.#publish(row, left)
        await this.#parts.directory.published([row], this.#clock.now())
        return true
      } catch (err) {
        this.#parts.log.warn({ err }, 'outbox.publish_failed')
      }
      if (deadline - this.#clock.monotonic() <= pause) break
      await delay(pause)
    }
    this.wake()
    return false
  }

  /** Publishes all that is pending, in passes; throws when one is not confirmed. */
  async settle(): Promise<void> {
    for (;;) {
      const { seen, failed } = await this.#pass()
      if (failed)
        throw new ParleyError('unavailable', { detail: 'account records do not get through' })
      if (seen < AT_ONCE) return
    }
  }

  /** Publishes the records of all users again, for user actors that lost them; how many there are. */
  async resendAll(): Promise<number> {
    const count = await this.#parts.directory.resend()
    this.wake()
    return count
  }

  async #run(): Promise<void> {
    let pause = RETRY_MS.first
    while (!this.#stop.signal.aborted) {
      const { seen, failed } = await this.#pass()
      pause = failed ? Math.min(pause * 2, RETRY_MS.most) : RETRY_MS.first
      if (failed) await this.#rest(pause * (0.5 + Math.random()), this.#stop.signal)
      else if (seen < AT_ONCE) await this.#rest(IDLE_MS, this.#woken.signal)
      if (this.#woken.signal.aborted) this.#woken = new AbortController()
    }
  }

  async #rest(ms: number, until: AbortSignal): Promise<void> {
    await delay(ms, undefined, { signal: until }).catch(() => undefined)
  }

  async #pass(): Promise<{ seen: number; failed: boolean }> {
    try {
      const { directory } = this.#parts
      const rows = await directory.pending(AT_ONCE)
      const results = await Promise.allSettled(rows.map((row) => this.#publish(row, PUBLISH_MS)))
      const confirmed = rows.filter((_, at) => results[at]?.status === 'fulfilled')
      if (confirmed.length > 0) await directory.published(confirmed, this.#clock.now())
      const refused = results.find((result) => result.status === 'rejected')
      if (refused !== undefined) throw refused.reason
      return { seen: rows.length, failed: false }
    } catch (err) {
      this.#parts.log.warn({ err }, 'outbox.publish_failed')
      return { seen: 0, failed: true }
    }
  }

  async #publish(row: OutboxRow, withinMs: number): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => reject(new ParleyError('unavailable', { detail: 'no confirmation in time' })),
      Math.max(withinMs, 1),
    )
    try {
      await Promise.race([this.#parts.publishAccount(decodeAccount(row.payload)), promise])
    } finally {
      clearTimeout(timer)
    }
  }
}
