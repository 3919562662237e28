import type { Clock } from '../clock.ts'

/** A clock that moves when it is told to. */
export class TestClock implements Clock {
  /** Not 0, so that nothing takes the beginning of time for «never». */
  #at = 1000

  now(): number {
    return 1_800_000_000_000 + this.#at
  }

  monotonic(): number {
    return this.#at
  }

  pass(ms: number): void {
    this.#at += ms
  }
}

/** A clock that runs `times` as fast as the machine's, for rules about seconds in tests that have none. */
export const fastClock = (times: number): Clock => {
  const since = performance.now()
  const passed = () => (performance.now() - since) * times
  return { now: () => 1_800_000_000_000 + Math.floor(passed()), monotonic: () => 1000 + passed() }
}
