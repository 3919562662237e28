/** Positions in KV `checkpoints` (JSON numbers) that only rise: `log.<p>`, `inbox.<p>`. */
import { ParleyError } from '../errors.ts'
import type { Bucket } from './bus.ts'
import { fromJson, toJson } from './cluster.ts'

export const checkpointKey = (p: number): string => `log.${p}`
export const inboxFloorKey = (p: number): string => `inbox.${p}`

const TRIES = 16

export class Positions {
  readonly #bucket: Bucket
  /** What was last read or written, to spare the reading. */
  readonly #known = new Map<string, { position: number; revision: number }>()

  constructor(bucket: Bucket) {
    this.#bucket = bucket
  }

  /** 0 when there is none. @throws ParleyError unavailable */
  async read(key: string): Promise<number> {
    const entry = await this.#bucket.get(key)
    if (entry?.value === undefined) {
      this.#known.set(key, { position: 0, revision: entry?.revision ?? 0 })
      return 0
    }
    const position = fromJson<number>(entry.value)
    this.#known.set(key, { position, revision: entry.revision })
    return position
  }

  /** Resolves when the stored position is at least `position`. @throws ParleyError unavailable */
  async raise(key: string, position: number): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      if (!this.#known.has(key)) await this.read(key)
      const known = this.#known.get(key)!
      if (known.position >= position) return
      const revision = await this.#bucket.cas(key, toJson(position), known.revision)
      if (revision !== undefined) {
        this.#known.set(key, { position, revision })
        return
      }
      this.#known.delete(key)
    }
    throw new ParleyError('unavailable', { detail: `KV ${key} is changed by too many at once` })
  }
}
