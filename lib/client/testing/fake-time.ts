/** Time that stands still until a test moves it. */
import type { Time } from '../time.ts'

/** Lets everything that is ready run. */
export const settle = async (turns = 40): Promise<void> => {
  for (let turn = 0; turn < turns; turn++) await undefined
}

export class FakeTime implements Time {
  #now = 0
  #nextId = 1
  readonly #timers = new Map<number, { at: number; run: () => void }>()
  readonly #random: () => number

  constructor(random: () => number = () => 0.5) {
    this.#random = random
  }

  now(): number {
    return 1_700_000_000_000 + this.#now
  }

  monotonic(): number {
    return this.#now
  }

  random(): number {
    return this.#random()
  }

  after(ms: number, run: () => void): () => void {
    const id = this.#nextId++
    this.#timers.set(id, { at: this.#now + Math.max(0, ms), run })
    return () => void this.#timers.delete(id)
  }

  /** Timers that are set. */
  get waiting(): number {
    return this.#timers.size
  }

  /** Moves on by `ms`, running what comes due in its order, and all that follows from it. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (let next = this.#due(end); next !== undefined; next = this.#due(end)) {
      const [id, timer] = next
      this.#timers.delete(id)
      this.#now = Math.max(this.#now, timer.at)
      timer.run()
      await settle()
    }
    this.#now = end
  }

  #due(end: number): [number, { at: number; run: () => void }] | undefined {
    let first: [number, { at: number; run: () => void }] | undefined
    for (const entry of this.#timers) {
      if (entry[1].at <= end && (first === undefined || entry[1].at < first[1].at)) first = entry
    }
    return first
  }
}
