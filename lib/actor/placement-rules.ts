/** Who may take which partition: contracts O2 as pure decisions. */
import type { Owner } from '../bus/cluster.ts'
import type { Incarnation } from '../ids.ts'
import type { Host, Hosts } from './members.ts'
import { winner } from './rendezvous.ts'

/** What a host knows of others. */
export type Knowledge = {
  readonly us: Incarnation
  /** No other host can be alive. */
  readonly exclusive: boolean
  /** Of the current view. */
  member(incarnation: Incarnation): Host | undefined
  /** Not heard for a full window. */
  silent(incarnation: Incarnation): boolean
  /** A newer incarnation of the same host runs. */
  replaced(incarnation: Incarnation, host: string): boolean
  /** One full window has passed since all this began to be known. */
  readonly settled: boolean
  /** The live host, other than us, that says it is starting the partition. */
  startedBy(p: number): Incarnation | undefined
}

export type Claim = {
  /** Whoever served it last is proven dead. */
  readonly proven: boolean
  /** Only this one takes it; undefined = whoever wins the rendezvous. */
  readonly by: Incarnation | undefined
}

/** Whether partition `p`, which this host does not hold, may be claimed now; undefined: it is (or may be) served. */
export const claimable = (
  p: number,
  owner: Owner | undefined,
  know: Knowledge,
): Claim | undefined => {
  const open = { proven: false, by: undefined }
  if (know.exclusive) return { proven: true, by: know.us }
  if (know.startedBy(p) !== undefined) return undefined
  if (owner === undefined) return know.settled ? open : undefined
  const { incarnation, host, state, successor } = owner
  if (state === 'handed') {
    if (successor === undefined) return open
    if (successor === know.us) return { proven: false, by: know.us }
    const heir = know.member(successor)
    if (heir === undefined) return know.silent(successor) ? open : undefined
    return heir.draining ? open : undefined
  }
  // Ours, but it does not run; another host may have written into the log since.
  if (incarnation === know.us) return { proven: false, by: know.us }
  if (know.replaced(incarnation, host)) return { proven: true, by: undefined }
  if (know.member(incarnation) !== undefined) return undefined
  return know.silent(incarnation) ? open : undefined
}

/** Hosts that take partitions. */
export const takers = (hosts: Hosts): Hosts => hosts.filter(({ draining }) => !draining)

/** Who a partition of `us` goes to when `us` gives it up. */
export const successorOf = (p: number, hosts: Hosts, us: Incarnation): Incarnation | undefined =>
  winner(
    p,
    takers(hosts).filter(({ incarnation }) => incarnation !== us),
  )?.incarnation

/**
 * Rebalancing: the partition that `us` should give up, and to whom, when it holds more than ceil(P/N) + 1; undefined
 * when it does not. `owners` has one entry per partition.
 */
export const surplus = (
  owners: readonly (Owner | undefined)[],
  hosts: Hosts,
  us: Incarnation,
): { p: number; successor: Incarnation } | undefined => {
  const able = takers(hosts)
  const holding = new Map(able.map(({ incarnation }) => [incarnation, 0]))
  const ours: number[] = []
  owners.forEach((owner, p) => {
    const holder = owner?.state === 'handed' ? owner.successor : owner?.incarnation
    if (holder === undefined) return
    if (holder === us) ours.push(p)
    const count = holding.get(holder)
    if (count !== undefined) holding.set(holder, count + 1)
  })
  if (ours.length <= Math.ceil(owners.length / able.length) + 1) return undefined
  let least: Incarnation | undefined
  for (const [incarnation, count] of holding) {
    if (incarnation === us) continue
    if (least === undefined || count < holding.get(least)!) least = incarnation
  }
  if (least === undefined) return undefined
  const successor = least
  // Rather one that would be there anyway, if everything began anew.
  const p = ours.find((its) => winner(its, able)?.incarnation === successor) ?? ours[0]!
  return { p, successor }
}
