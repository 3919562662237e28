/** Who derives what from which log stream, in KV, and how streams are shared, as pure decisions. */
import type { ProjectionName } from '../metrics.ts'

/** KV `cluster`, `<projection>.lease.<k>`: who has log stream k. */
export type Lease = {
  /** undefined: given back. */
  readonly holder?: string
  /** Rises with every holder. */
  readonly epoch: number
}
/** KV `projectors`, `<projection>.member.<id>`: written again every second by each process that takes part. */
export type Member = {
  readonly beat: number
  /** For people. */
  readonly host: string
  readonly pid: number
}
/** KV `cluster`, `<projection>.wanted`: what operators want. */
export type Wanted = {
  readonly paused: boolean
  /** Number of the last rebuild that was asked for; 0 when none was. */
  readonly rebuild: number
}

export const memberKey = (projection: ProjectionName, id: string): string =>
  `${projection}.member.${id}`
export const leaseKey = (projection: ProjectionName, stream: number): string =>
  `${projection}.lease.${stream}`
export const wantedKey = (projection: ProjectionName): string => `${projection}.wanted`
export const NOTHING_WANTED: Wanted = { paused: false, rebuild: 0 }

/** The last part of a key of that kind; undefined for a key of another. */
export const idIn = (
  key: string,
  projection: ProjectionName,
  kind: 'member' | 'lease',
): string | undefined => {
  const prefix = `${projection}.${kind}.`
  return key.startsWith(prefix) ? key.slice(prefix.length) : undefined
}

/**
 * How many of `streams` process `us` is to have: all the same, those that have most get what is left over, so that as
 * little as possible changes hands. `holders[k]`: who has stream k.
 */
export const shareOf = (
  us: string,
  members: ReadonlySet<string>,
  holders: readonly (string | undefined)[],
  streams: number,
): number => {
  const held = (id: string) => holders.filter((holder) => holder === id).length
  const order = [...members].sort((a, b) => held(b) - held(a) || (a < b ? -1 : 1))
  const place = order.indexOf(us)
  if (place < 0) return 0
  const least = Math.floor(streams / order.length)
  return place < streams % order.length ? least + 1 : least
}
