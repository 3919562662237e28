/** Copies what a part of the process counts by itself into series, so that its hot path knows nothing of metrics. */
import type { CounterSeries, GaugeSeries } from './metrics.ts'
import type { Service } from './service.ts'

const EVERY_MS = 1000

export type Sample<Stats> =
  /** A sum that only grows. */
  | { readonly counter: CounterSeries; readonly of: (stats: Stats) => number }
  | { readonly gauge: GaugeSeries; readonly of: (stats: Stats) => number }

/** Copies `read()` about once a second from when it starts, and at its end. */
export const sampler = <Stats>(
  name: string,
  read: () => Stats,
  samples: readonly Sample<Stats>[],
  everyMs = EVERY_MS,
): Service => {
  const last = samples.map(() => 0)
  const copy = () => {
    const stats = read()
    samples.forEach((sample, i) => {
      const value = sample.of(stats)
      if ('gauge' in sample) sample.gauge.set(value)
      else {
        sample.counter.inc(Math.max(0, value - last[i]!))
        last[i] = value
      }
    })
  }
  let timer: NodeJS.Timeout | undefined
  return {
    name,
    start: async () => {
      copy()
      timer = setInterval(copy, everyMs)
    },
    drain: async () => {
      clearInterval(timer)
      copy()
    },
  }
}
