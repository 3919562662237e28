/** What the runner asks of a generator process, and what it answers. */
import type { Rule } from '../../lib/testing/invariants.ts'
import type { LoadPlan, Pace } from './plan.ts'

export type Counters = {
  readonly atUs: number
  readonly acked: number
  readonly delivered: number
  /** µs of CPU of the generator process. */
  readonly cpuUs: number
  /** Sends that are due and not acked. */
  readonly open: number
}

export type Measured = {
  /** All that were due were acked and delivered in time. */
  readonly settled: boolean
  /** Sends that were due in the window. */
  readonly due: number
  /** Encoded histograms of what was due in the window, µs. */
  readonly ack: string
  readonly delivery: string
  /** How late sends left, against their schedule. */
  readonly lag: string
}

export type Status = {
  readonly atUs: number
  readonly acked: number
  readonly disconnected: number
  /** When something last arrived that was late; 0 when nothing was. */
  readonly lastLateUs: number
  /** When the oldest send that is not acked was due; undefined when all are. */
  readonly oldestDueUs: number | undefined
}

export type Verdict = {
  readonly acked: number
  readonly delivered: number
  /** Violations by rule; empty when all held. */
  readonly violations: Partial<Record<Rule, number>>
  /** The first of them, in words. */
  readonly words: readonly string[]
  /** What else should not have happened. */
  readonly problems: readonly string[]
  /** Refusals for now by code. */
  readonly refusals: Readonly<Record<string, number>>
  /** Events that came by `fetch` because the live path had not brought them. */
  readonly healed: number
  readonly repeats: number
  /** Texts compared in full. */
  readonly compared: number
  readonly sessionsLost: number
}

export type Orders = {
  setUp: { with: LoadPlan; answer: { lanes: number } }
  go: { with: Pace; answer: null }
  openWindow: { with: null; answer: Counters }
  shutWindow: { with: null; answer: Counters }
  stop: { with: { withinMs: number }; answer: Measured }
  status: { with: null; answer: Status }
  /** `history`: read every room from its start, too. */
  finish: { with: { history: boolean; settled: boolean }; answer: Verdict }
}
export type OrderName = keyof Orders

export type Order<N extends OrderName = OrderName> = {
  readonly id: number
  readonly name: N
  readonly with: Orders[N]['with']
}
export type Reply =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string }
