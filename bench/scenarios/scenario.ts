/** A scenario says who is there, and what is measured of them in each round. */
import type { RoomPlan } from '../load/plan.ts'
import type { BenchOptions } from '../options.ts'
import type { Row } from '../row.ts'
import type { Stage } from '../stage.ts'

export type Scenario = {
  readonly name: string
  readonly doc: string
  /** How rows were come by, for the result file. */
  readonly method: string
  /** Users are 0 … users − 1. */
  cast(options: BenchOptions): { users: number; rooms: RoomPlan[] }
  measure(stage: Stage, options: BenchOptions, say: (line: string) => void): Promise<Row[]>
  /** The row whose figures stand for the scenario. */
  main<R extends Row>(rows: readonly R[]): R | undefined
}

/** Pairs of users, the first of each sends to the second. */
export const pairs = (count: number): { users: number; rooms: RoomPlan[] } => ({
  users: 2 * count,
  rooms: Array.from({ length: count }, (_, i) => ({
    kind: 'dm' as const,
    members: [2 * i, 2 * i + 1],
    senders: [2 * i],
  })),
})
