/** What the runs of a scenario come to: the line that ends them, and whether they passed. */
import type { KillOutcome } from './kill.ts'

export type Result = {
  readonly scenario: string
  /** Those in which a fault landed: without one a run counts as not run. */
  readonly seeds: number
  readonly faultsLanded: number
  readonly acked: number
  readonly violations: number
}

const isRun = ({ faultsLanded }: KillOutcome): boolean => faultsLanded > 0

export const wordOf = (outcome: KillOutcome): string => {
  if (outcome.total > 0) return `${outcome.total} violations`
  return isRun(outcome) ? 'ok' : 'NOT RUN'
}

/** Passed: every seed ran, nothing was violated, no line is missing. */
export const verdictOf = (
  scenario: string,
  outcomes: readonly KillOutcome[],
): { readonly result: Result; readonly passed: boolean } => {
  const sum = (pick: (one: KillOutcome) => number): number =>
    outcomes.reduce((total, one) => total + pick(one), 0)
  const result = {
    scenario,
    seeds: outcomes.filter(isRun).length,
    faultsLanded: sum((one) => one.faultsLanded),
    acked: sum((one) => one.acked),
    violations: sum((one) => one.total),
  }
  const whole = result.violations === 0 && sum((one) => one.missing) === 0
  return { result, passed: whole && outcomes.length > 0 && result.seeds === outcomes.length }
}
