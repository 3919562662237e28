/** Entries of one room, ascending and without overlap, at most `most` of them: the oldest go first. */
import { type Entry, firstOf, lastOf } from './events.ts'

export class Shelf {
  readonly #most: number
  #entries: Entry[] = []

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#entries.length
  }

  all(): readonly Entry[] {
    return this.#entries
  }

  /** Returns those that were new. */
  add(entries: readonly Entry[]): Entry[] {
    const fresh: Entry[] = []
    for (const entry of entries) {
      const at = this.#at(firstOf(entry))
      const next = this.#entries[at]
      const previous = this.#entries[at - 1]
      if (next !== undefined && firstOf(next) <= lastOf(entry)) continue
      if (previous !== undefined && lastOf(previous) >= firstOf(entry)) continue
      this.#entries.splice(at, 0, entry)
      fresh.push(entry)
    }
    // A quarter at once: not an array move for each new entry.
    if (this.#entries.length > this.#most) {
      this.#entries = this.#entries.slice(-Math.ceil(this.#most * 0.75))
    }
    return fresh
  }

  range(first: number, last: number): Entry[] {
    let from = this.#at(first)
    const previous = this.#entries[from - 1]
    if (previous !== undefined && lastOf(previous) >= first) from--
    let to = from
    while (to < this.#entries.length && firstOf(this.#entries[to]!) <= last) to++
    return this.#entries.slice(from, to)
  }

  /** Index of the first entry that begins at `seq` or later. */
  #at(seq: number): number {
    let low = 0
    let high = this.#entries.length
    // New entries mostly come last.
    if (high > 0 && firstOf(this.#entries[high - 1]!) < seq) return high
    while (low < high) {
      const middle = (low + high) >> 1
      if (firstOf(this.#entries[middle]!) < seq) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** The entries from `first` on that leave no hole, and the number after them. */
export const denseFrom = (
  entries: readonly Entry[],
  first: number,
): { entries: Entry[]; next: number } => {
  const dense: Entry[] = []
  let next = first
  for (const entry of entries) {
    if (lastOf(entry) < next) continue
    if (firstOf(entry) > next) break
    dense.push(entry)
    next = lastOf(entry) + 1
  }
  return { entries: dense, next }
}
