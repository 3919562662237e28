/** Numbers by a small index, and sets of sequences: a few bytes each, so that millions can be checked in a run. */

/** An array of unsigned 32-bit numbers that grows; what was never set is 0. */
export class Dense {
  #values = new Uint32Array(16)

  get(index: number): number {
    return index < this.#values.length ? this.#values[index]! : 0
  }

  set(index: number, value: number): void {
    if (index >= this.#values.length) {
      const grown = new Uint32Array(Math.max(index + 1, this.#values.length * 2))
      grown.set(this.#values)
      this.#values = grown
    }
    this.#values[index] = value
  }
}

/** A set of sequences as disjoint ascending ranges: one range as long as they come without a hole. */
export class Ranges {
  readonly #first: number[] = []
  readonly #last: number[] = []

  /** The index of the first range that ends at or after `seq`. */
  #find(seq: number): number {
    let low = 0
    let high = this.#last.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#last[middle]! < seq) low = middle + 1
      else high = middle
    }
    return low
  }

  has(seq: number): boolean {
    const at = this.#find(seq)
    return at < this.#first.length && this.#first[at]! <= seq
  }

  /** Adds first … last; answers how many of them were new. */
  add(first: number, last = first): number {
    const end = this.#last.length - 1
    if (end >= 0 && first === this.#last[end]! + 1) {
      this.#last[end] = last
      return last - first + 1
    }
    // Every range that overlaps or touches becomes one with it.
    const from = this.#find(first - 1)
    let to = from
    let known = 0
    let low = first
    let high = last
    while (to < this.#first.length && this.#first[to]! <= last + 1) {
      const [a, b] = [this.#first[to]!, this.#last[to]!]
      known += Math.max(0, Math.min(b, last) - Math.max(a, first) + 1)
      low = Math.min(low, a)
      high = Math.max(high, b)
      to++
    }
    this.#first.splice(from, to - from, low)
    this.#last.splice(from, to - from, high)
    return last - first + 1 - known
  }

  /** The first range of first … last that is not in the set; undefined when all are. */
  missing(first: number, last: number): { first: number; last: number } | undefined {
    if (first > last) return undefined
    const at = this.#find(first)
    const start = this.#first[at]
    if (start === undefined) return { first, last }
    if (start > first) return { first, last: Math.min(last, start - 1) }
    const end = this.#last[at]!
    if (end >= last) return undefined
    const next = this.#first[at + 1] ?? last + 1
    return { first: end + 1, last: Math.min(last, next - 1) }
  }

  /** The highest sequence in the set; 0 when it is empty. */
  get highest(): number {
    return this.#last.at(-1) ?? 0
  }
}
