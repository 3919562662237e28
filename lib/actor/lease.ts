/**
 * The right to answer from memory (contracts L10): given by the commit of a batch that was sent less than half the
 * suspicion time ago, on this host's own monotonic clock. No other host can have taken over meanwhile, because a new
 * owner is silent for that long after it has fenced us.
 */
export const SUSPICION_MS = 2500
export const LEASE_MS = SUSPICION_MS / 2
/** How long a new owner is silent when the former one may still be answering. */
export const QUIET_MS = SUSPICION_MS / 2 + 50

export class Lease {
  #sentAt = Number.NEGATIVE_INFINITY

  /** A batch first sent at `sentAt` was committed. */
  renew(sentAt: number): void {
    if (sentAt > this.#sentAt) this.#sentAt = sentAt
  }

  valid(now: number): boolean {
    return now - this.#sentAt < LEASE_MS
  }
}
