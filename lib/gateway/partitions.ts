/** Partitions of ids, remembered: a SHA-256 costs more than all else the gateway does with a frame's room. */
import { type ActorId, partitionOf } from '../ids.ts'

export class PartitionCache {
  readonly #partitions: number
  readonly #bound: number
  #young = new Map<ActorId, number>()
  #old = new Map<ActorId, number>()

  /** Holds between `bound` and twice as many of the ids used last. */
  constructor(partitions: number, bound = 32_768) {
    this.#partitions = partitions
    this.#bound = bound
  }

  of(id: ActorId): number {
    let p = this.#young.get(id)
    if (p !== undefined) return p
    p = this.#old.get(id) ?? partitionOf(id, this.#partitions)
    if (this.#young.size >= this.#bound) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(id, p)
    return p
  }
}
