/** One client's hold on its profile: with the outbox and a cache that lasts when it has the lock, else to read. */
import type { Cache } from './cache.ts'
import type { Locks, Release } from './locks.ts'
import { newerOf } from './saved.ts'

export type Hold = 'held' | 'waiting' | 'none'

export type ProfilePorts = {
  readonly cache: Cache
  readonly locks: Locks
  /** The outbox may run from here on. */
  begin(): void
  changed(hold: Hold): void
  failed(error: unknown): void
}

export class Profile {
  readonly #ports: ProfilePorts
  readonly #end = new AbortController()
  #opened: Promise<void> | undefined
  #waiting: Promise<void> | undefined
  #release: Release | undefined
  #failure: unknown

  constructor(ports: ProfilePorts) {
    this.#ports = ports
  }

  get hold(): Hold {
    if (this.#release !== undefined) return 'held'
    return this.#waiting === undefined ? 'none' : 'waiting'
  }

  /** Once: with `outbox` it takes the lock, or waits for it in the background. */
  open(outbox: boolean): Promise<void> {
    this.#opened ??= this.#open(outbox)
    return this.#opened
  }

  async #open(outbox: boolean): Promise<void> {
    const { cache, locks, changed, begin } = this.#ports
    if (outbox) this.#release = await locks.tryAcquire('outbox')
    await cache.open(this.#release !== undefined)
    if (!outbox) return
    if (this.#release !== undefined) begin()
    else this.#waiting = this.#takeOver()
    changed(this.hold)
  }

  async #takeOver(): Promise<void> {
    const { cache, locks, changed, begin, failed } = this.#ports
    try {
      const release = await locks.acquire('outbox', this.#end.signal)
      const mine = cache.saved
      await cache.open(true)
      await cache.write(newerOf(mine, cache.saved))
      this.#release = release
      if (this.#end.signal.aborted) return
      begin()
      changed('held')
    } catch (error) {
      this.#failure = error
      if (!this.#end.signal.aborted) failed(error)
    }
  }

  /** Resolves once this client has the outbox. @throws when another keeps it until this one closes. */
  async held(): Promise<void> {
    await this.#opened
    await this.#waiting
    if (this.hold !== 'held')
      throw this.#failure ?? new Error('this client does not ask for the outbox')
  }

  /** The profile is free for another; `last` is done while it is still held. */
  async close(last: () => Promise<void>): Promise<void> {
    this.#end.abort()
    await this.#opened?.catch(() => {})
    await this.#waiting
    try {
      if (this.#opened !== undefined) await last()
      await this.#ports.cache.close()
    } finally {
      await this.#release?.()
      this.#release = undefined
    }
  }
}
