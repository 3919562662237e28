/**
 * What KV holds of projections: which there are (`cluster`, key `projections`), how far each has come on each log stream
 * (`checkpoints`, key `floor.<projection>.<k>`). The log is trimmed below the floors of all that exist, and a missing
 * floor counts as 0 (contracts L0).
 */
import { fromJson } from './cluster.ts'

/** Holds a JSON array of names. */
export const PROJECTIONS_KEY = 'projections'
export const floorKey = (projection: string, stream: number): string =>
  `floor.${projection}.${stream}`

/** A pass over what the log still holds. Positions are stream sequences. */
export type Rebuild = {
  /** Which of the rebuilds that were asked for. */
  readonly number: number
  /** Everything up to here is derived again. */
  readonly at: number
  /** Where it ends; 0 while that is not known. */
  readonly until: number
}

export type Floor = {
  /** The epoch of the lease under which it was written: one of a lower epoch can't write any more. */
  readonly epoch: number
  /** Everything up to here is stored. */
  readonly position: number
  /** The one that is under way. */
  readonly rebuild?: Rebuild
  /** Number of the last one that came to its end; 0 when none has. */
  readonly rebuilt: number
}

const NOTHING: Floor = { epoch: 0, position: 0, rebuilt: 0 }

/** A floor of a key's value; what is none counts as 0. A bare number is one of before there were leases. */
export const readFloor = (value: Uint8Array | undefined): Floor => {
  if (value === undefined) return NOTHING
  const found = fromJson<Floor | number | string | null>(value)
  if (typeof found === 'number') return { ...NOTHING, position: found }
  return typeof found === 'object' ? { ...NOTHING, ...found } : NOTHING
}

/** The log may be trimmed below it: what a rebuild has yet to read stays. */
export const trimFloor = ({ position, rebuild }: Floor): number =>
  Math.min(position, rebuild?.at ?? position)
