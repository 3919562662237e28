/** What a window is boiled down to, and whether it counts. */
import type { Verdict } from './load/orders.ts'
import type { Percentiles } from './measure/histogram.ts'
import { significant } from './measure/rounds.ts'
import type { Window } from './stage.ts'

export type Row = {
  /** Shape of the load: `50x16`, `4000/s`. */
  readonly variant: string
  /** Messages (acks) or deliveries, see `figure`. */
  readonly perServerCpuSecond: number
  readonly figure: 'messages' | 'deliveries'
  /** Acked messages a second. */
  readonly rate: number
  readonly deliveries: number
  /** µs of CPU a message, by role. */
  readonly usPerMessage: Readonly<Record<string, number>>
  readonly cores: Readonly<Record<string, number>>
  readonly generatorCores: readonly number[]
  /** Used by what is neither server nor generator. */
  readonly othersCores: number
  /** ms; undefined when the rate was not held. */
  readonly ack: Percentiles | undefined
  readonly delivery: Percentiles | undefined
  /** ms that sends left after their time. */
  readonly lag: Percentiles | undefined
  /** The rate was not held. */
  readonly over: boolean
  /** Why the row does not count; empty when it does. */
  readonly invalid: readonly string[]
}

const MOST_GENERATOR_CORES = 0.9

export const rowOf = (
  variant: string,
  window: Window,
  options: { figure?: Row['figure']; targetRate?: number } = {},
): Row => {
  const { figure = 'messages', targetRate } = options
  const { sum, ackedPerSecond, deliveredPerSecond, cores, generators } = window
  const serverCores = [...cores.values()].reduce((a, b) => a + b, 0)
  const over = targetRate !== undefined && isOver(window, targetRate)
  const perSecond = figure === 'messages' ? ackedPerSecond : deliveredPerSecond
  const invalid: string[] = []
  for (const [i, used] of generators.entries()) {
    if (used <= MOST_GENERATOR_CORES) continue
    invalid.push(`generator ${i} used ${significant(used, 2)} of a core`)
  }
  if (!over && !sum.settled) invalid.push('not everything was acked and delivered in time')
  return {
    variant,
    perServerCpuSecond: significant(perSecond / serverCores, 4),
    figure,
    rate: significant(ackedPerSecond, 4),
    deliveries: significant(deliveredPerSecond, 4),
    usPerMessage: record(cores, (used) => significant((used * 1e6) / ackedPerSecond)),
    cores: record(cores, (used) => significant(used)),
    generatorCores: generators.map((used) => significant(used)),
    othersCores: significant(window.othersCores, 2),
    ack: over ? undefined : sum.ack.percentiles(),
    delivery: over ? undefined : sum.delivery.percentiles(),
    lag: sum.lag.count === 0 ? undefined : sum.lag.percentiles(),
    over,
    invalid,
  }
}

/** Under 90 % of the rate (arrivals are random), or a queue that grew by more than a quarter of a second's load. */
export const isOver = (
  window: Pick<Window, 'ackedPerSecond' | 'openBefore' | 'openAfter'>,
  rate: number,
): boolean => window.ackedPerSecond < 0.9 * rate || window.openAfter - window.openBefore > rate / 4

const record = (
  map: ReadonlyMap<string, number>,
  of: (value: number) => number,
): Record<string, number> => Object.fromEntries([...map].map(([key, value]) => [key, of(value)]))

/** All processes' verdicts as one. */
export type Judged = {
  readonly acked: number
  readonly delivered: number
  readonly lost: number
  readonly duplicates: number
  readonly violations: Readonly<Record<string, number>>
  readonly words: readonly string[]
  readonly problems: readonly string[]
  readonly refusals: Readonly<Record<string, number>>
  readonly healed: number
  readonly repeats: number
  readonly compared: number
  readonly sessionsLost: number
}

export const judgedOf = (verdicts: readonly Verdict[]): Judged => {
  const total = (pick: (one: Verdict) => number): number =>
    verdicts.reduce((sum, one) => sum + pick(one), 0)
  const merged = (pick: (one: Verdict) => Readonly<Record<string, number>>) => {
    const sums: Record<string, number> = {}
    for (const one of verdicts) {
      for (const [key, count] of Object.entries(pick(one))) sums[key] = (sums[key] ?? 0) + count
    }
    return sums
  }
  const violations = merged((one) => one.violations as Record<string, number>)
  return {
    acked: total((one) => one.acked),
    delivered: total((one) => one.delivered),
    lost: (violations.lost ?? 0) + (violations.hole ?? 0),
    duplicates: violations.duplicate ?? 0,
    violations,
    words: verdicts.flatMap((one) => one.words).slice(0, 20),
    problems: verdicts.flatMap((one) => one.problems).slice(0, 20),
    refusals: merged((one) => one.refusals),
    healed: total((one) => one.healed),
    repeats: total((one) => one.repeats),
    compared: total((one) => one.compared),
    sessionsLost: total((one) => one.sessionsLost),
  }
}

/** A run with a violation or a problem is a failed run, however fast. */
export const isCorrect = ({ violations, problems }: Judged): boolean =>
  Object.keys(violations).length === 0 && problems.length === 0
