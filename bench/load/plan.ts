/** What a generator process is told to be. */
import type { SeededUser } from '../../lib/api/seed.ts'
import type { Address } from './connection.ts'

/** Members and senders are indexes of `users`. */
export type RoomPlan = {
  readonly kind: 'dm' | 'group'
  readonly members: readonly number[]
  readonly senders: readonly number[]
}

export type LoadPlan = {
  readonly address: Address
  readonly users: readonly SeededUser[]
  readonly rooms: readonly RoomPlan[]
  readonly textBytes: number
  /** Local addresses to connect from, in turn; empty leaves it to the kernel. */
  readonly sources: readonly string[]
  /** Connect again and resend; otherwise a session that ends is a failure. */
  readonly resilient: boolean
  /** `full`: every text to the byte; `sampled`: one in 64, the rest by tag, id and sequence. */
  readonly verify: 'full' | 'sampled'
  readonly seed: number
}

/** `closed`: `window` unsettled per lane at any time. `open`: at random, `rate` a second, due whatever happens. */
export type Pace =
  | { readonly kind: 'closed'; readonly window: number }
  | { readonly kind: 'open'; readonly rate: number }
