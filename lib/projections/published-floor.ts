/**
 * How far a projection has come on one log stream, as the rest of the cluster is told (bus/projections.ts).
 *
 * I1. Written by CAS and under the epoch of a lease. Once a later holder has written, an earlier one changes nothing any
 *     more: it is refused as `moved`, however long it was away.
 * I2. Raised within an epoch; lowered only when it is claimed, to what the store says: a store that was restored from a
 *     backup needs the log from there on.
 * I3. One write at a time.
 */
import type { Bucket } from '../bus/bus.ts'
import { toJson } from '../bus/cluster.ts'
import { type Floor, floorKey, type Rebuild, readFloor } from '../bus/projections.ts'
import { ParleyError } from '../errors.ts'
import type { ProjectionName } from '../metrics.ts'

const TRIES = 16

export class PublishedFloor {
  readonly #checkpoints: Bucket
  readonly #key: string
  readonly #epoch: number
  #writing: Promise<unknown> = Promise.resolve()
  #position = 0

  constructor(checkpoints: Bucket, name: ProjectionName, stream: number, epoch: number) {
    this.#checkpoints = checkpoints
    this.#key = floorKey(name, stream)
    this.#epoch = epoch
  }

  /** As far as it knows; 0 before `claim`. */
  get position(): number {
    return this.#position
  }

  /** Makes it this holder's. `stored` is the store's own floor. @throws ParleyError moved, unavailable */
  claim(stored: number): Promise<Floor> {
    return this.#change((floor) => ({ ...floor, position: Math.min(floor.position, stored) }), true)
  }

  /** @throws ParleyError moved, unavailable */
  raise(position: number): Promise<Floor> {
    return this.#change((floor) => (position > floor.position ? { ...floor, position } : undefined))
  }

  /** Notes how far a rebuild has come: the log is kept from there on. @throws ParleyError moved, unavailable */
  rebuilding(rebuild: Rebuild): Promise<Floor> {
    return this.#change((floor) => ({ ...floor, rebuild }))
  }

  /** @throws ParleyError moved, unavailable */
  rebuilt(number: number): Promise<Floor> {
    return this.#change(({ epoch, position }) => ({ epoch, position, rebuilt: number }))
  }

  #change(change: (floor: Floor) => Floor | undefined, claim = false): Promise<Floor> {
    const work = this.#writing.then(() => this.#write(change, claim))
    this.#writing = work.catch(() => undefined)
    return work
  }

  async #write(change: (floor: Floor) => Floor | undefined, claim: boolean): Promise<Floor> {
    for (let tries = 0; tries < TRIES; tries++) {
      const entry = await this.#checkpoints.get(this.#key)
      const there = readFloor(entry?.value)
      if (there.epoch > this.#epoch || (there.epoch < this.#epoch && !claim)) {
        throw new ParleyError('moved', {
          detail: `KV ${this.#key} is at epoch ${there.epoch}, not ${this.#epoch}`,
        })
      }
      const changed = change(there)
      if (changed === undefined) return there
      const next = { ...changed, epoch: this.#epoch }
      if (
        (await this.#checkpoints.cas(this.#key, toJson(next), entry?.revision ?? 0)) === undefined
      )
        continue
      this.#position = next.position
      return next
    }
    throw new ParleyError('unavailable', {
      detail: `KV ${this.#key} is changed by too many at once`,
    })
  }
}
