/** Time as a dependency, so that actors, timers and tests do not read a global. */
export interface Clock {
  /** Milliseconds since 1970. May step; never used to judge liveness. */
  now(): number
  /** Milliseconds on a clock that never steps back. */
  monotonic(): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
}
