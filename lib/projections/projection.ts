import type { StreamRecord } from '../bus/record-source.ts'
import type { ProjectionName } from '../metrics.ts'

/**
 * What is derived from the log: what a projection makes of a record and where it keeps that. The runner does the rest.
 * Everything is idempotent: the runner repeats records after any doubt.
 */
export interface Projection<Row> {
  readonly name: ProjectionName
  /** The position up to which everything of log stream `stream` is in the store; 0 when nothing is. */
  floor(stream: number): Promise<number>
  /** Pure. What it throws says that this record cannot be read by this version; it is then set aside. */
  read(record: StreamRecord): Row[]
  /**
   * Stores rows and the new floor in one step; a lower floor than the stored one is kept out, so 0 stores rows alone.
   * `bad_request` and `too_large` are the records' fault: they are then stored one by one, and set aside if refused
   * again. Whatever else fails is tried again until it works.
   */
  write(rows: readonly Row[], stream: number, position: number): Promise<void>
  /** Those that the store keeps: a rebuild does not derive again what retention has dropped. */
  kept(rows: readonly Row[]): Promise<readonly Row[]>
}
