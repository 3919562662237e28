/**
 * What a projection tells the rest of the cluster: that it exists (KV `cluster`, key `projections`) and how far it has
 * come (KV `checkpoints`, key `floor.<projection>.<k>`). The log is trimmed below the floors of all that exist, and a
 * missing floor counts as 0 (contracts L0): so it is registered before it reads anything, and only an admin takes it
 * off the list.
 */
import type { Bucket } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import { ParleyError } from '../errors.ts'
import type { ProjectionName } from '../metrics.ts'

/** Holds a JSON array of names. */
export const PROJECTIONS_KEY = 'projections'
/** Holds a position as a JSON number. */
export const floorKey = (projection: ProjectionName, stream: number): string =>
  `floor.${projection}.${stream}`

const TRIES = 16

/** Reads a key, and replaces it by what `change` makes of it, until nobody came between; undefined leaves it. */
const change = async <T>(
  bucket: Bucket,
  key: string,
  change: (value: T | undefined) => T | undefined,
): Promise<void> => {
  for (let tries = 0; tries < TRIES; tries++) {
    const entry = await bucket.get(key)
    const value = change(entry?.value === undefined ? undefined : fromJson<T>(entry.value))
    if (value === undefined) return
    if ((await bucket.cas(key, toJson(value), entry?.revision ?? 0)) !== undefined) return
  }
  throw new ParleyError('unavailable', { detail: `KV key ${key} is changed by too many at once` })
}

export const registerProjection = (cluster: Bucket, name: ProjectionName): Promise<void> =>
  change<string[]>(cluster, PROJECTIONS_KEY, (names = []) =>
    names.includes(name) ? undefined : [...names, name].sort(),
  )

/** Raises the published floor; a lower one than the published one changes nothing. */
export const publishFloor = (
  checkpoints: Bucket,
  name: ProjectionName,
  stream: number,
  position: number,
): Promise<void> =>
  change<number>(checkpoints, floorKey(name, stream), (published = 0) =>
    position > published ? position : undefined,
  )

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
