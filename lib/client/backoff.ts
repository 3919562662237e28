import type { Time } from './time.ts'

export type BackoffLimits = {
  /** Longest first wait, ms. */
  readonly base: number
  /** Longest wait, ms; a server may ask for longer. */
  readonly cap: number
}

/**
 * How long to wait before the next try: somewhere in 0 … base × 2^tries, capped, so that a crowd that was cut off at
 * once does not come back at once; never less than the server asked for, with up to half as much on top.
 */
export class Backoff {
  readonly #time: Time
  readonly #limits: BackoffLimits
  #tries = 0

  constructor(time: Time, limits: BackoffLimits) {
    this.#time = time
    this.#limits = limits
  }

  next(retryAfter = 0): number {
    const { base, cap } = this.#limits
    const longest = Math.min(cap, base * 2 ** Math.min(this.#tries, 30))
    this.#tries++
    return Math.max(
      this.#time.random() * longest,
      retryAfter > 0 ? retryAfter * (1 + this.#time.random() / 2) : 0,
    )
  }

  reset(): void {
    this.#tries = 0
  }
}
