/** A log stream whose lease this process has: its follower, and its rebuild when one is wanted; neither while paused. */
import type { Log } from '../log.ts'
import type { Wanted } from './shares.ts'

export type HoldingParts = {
  follow(stop: AbortSignal): Promise<void>
  rebuild(number: number, stop: AbortSignal): Promise<void>
  readonly log: Log
}

export class Holding {
  readonly #parts: HoldingParts
  #life: AbortController | undefined
  #following: Promise<void> = Promise.resolve()
  #rebuilding: Promise<void> = Promise.resolve()
  #rebuild = 0
  #changing: Promise<void> = Promise.resolve()
  #ended = false

  constructor(parts: HoldingParts) {
    this.#parts = parts
  }

  want({ paused, rebuild }: Wanted): void {
    this.#changing = this.#changing.then(async () => {
      if (this.#ended || paused) await this.#halt()
      else this.#go(rebuild)
    })
  }

  /** Resolves when what was in work is finished. */
  async stop(): Promise<void> {
    this.#ended = true
    this.#life?.abort()
    this.#changing = this.#changing.then(() => this.#halt())
    await this.#changing
  }

  async #halt(): Promise<void> {
    this.#life?.abort()
    await Promise.all([this.#following, this.#rebuilding])
    this.#life = undefined
    this.#rebuild = 0
  }

  #go(rebuild: number): void {
    const loud = (err: unknown) => this.#parts.log.error({ err }, 'projection.stopped')
    if (this.#life === undefined) {
      this.#life = new AbortController()
      this.#following = this.#parts.follow(this.#life.signal).catch(loud)
    }
    if (rebuild <= this.#rebuild) return
    this.#rebuild = rebuild
    const { signal } = this.#life
    this.#rebuilding = this.#rebuilding.then(() => this.#parts.rebuild(rebuild, signal)).catch(loud)
  }
}
