/** A projection exists for the rest of the cluster before it reads anything: the log is kept for it (contracts L0). */
import type { Bucket } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import { PROJECTIONS_KEY } from '../bus/projections.ts'
import { ParleyError } from '../errors.ts'
import type { ProjectionName } from '../metrics.ts'

const TRIES = 16

/** Only an admin takes it off the list. @throws ParleyError unavailable */
export const registerProjection = async (cluster: Bucket, name: ProjectionName): Promise<void> => {
  for (let tries = 0; tries < TRIES; tries++) {
    const entry = await cluster.get(PROJECTIONS_KEY)
    const names = entry?.value === undefined ? [] : fromJson<string[]>(entry.value)
    if (names.includes(name)) return
    const more = toJson([...names, name].sort())
    if ((await cluster.cas(PROJECTIONS_KEY, more, entry?.revision ?? 0)) !== undefined) return
  }
  throw new ParleyError('unavailable', {
    detail: `KV key ${PROJECTIONS_KEY} is changed by too many at once`,
  })
}

/**
 * Keeps floors back until they are `settleMs` old: for stores that sync what they acknowledged only some time later
 * (contracts L0), so that the log is not trimmed of what a power loss would still take from them.
 */
export class Settling {
  readonly #settleMs: number
  #settled = 0
  #waiting = 0
  #since = 0

  constructor(settleMs: number) {
    this.#settleMs = settleMs
  }

  /** Notes that everything up to `position` was stored at monotonic time `now`; answers the highest that is settled. */
  settled(position: number, now: number): number {
    if (this.#settleMs === 0) return position
    if (this.#waiting > 0 && now - this.#since >= this.#settleMs) {
      this.#settled = this.#waiting
      this.#waiting = 0
    }
    if (this.#waiting === 0 && position > this.#settled) {
      this.#waiting = position
      this.#since = now
    }
    return this.#settled
  }
}
