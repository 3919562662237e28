/** KV `cluster/members` as it changes: pure steps, each giving the new hosts, or undefined when all is so already. */
import type { Entry } from '../bus/bus.ts'
import { fromJson, type Members } from '../bus/cluster.ts'
import type { Incarnation } from '../ids.ts'

export const MEMBERS_KEY = 'members'

export type Host = Members['hosts'][number]
export type Hosts = readonly Host[]
export type Step = (hosts: Hosts) => Hosts | undefined

export const NOBODY: Members = { view: 0, hosts: [] }

/** @throws SyntaxError when the entry is not JSON. */
export const readMembers = (entry: Entry | undefined): Members =>
  entry?.value === undefined ? NOBODY : fromJson<Members>(entry.value)

const same = (a: Hosts, b: Hosts): boolean =>
  a.length === b.length &&
  a.every((host, i) => {
    const other = b[i]!
    return host.incarnation === other.incarnation && host.draining === other.draining
  })

/**
 * `self` is in, as it says, and those are out that its presence proves dead: former incarnations of the same host, and
 * everybody when it is `exclusive`.
 */
export const joining =
  (self: Host, exclusive: boolean): Step =>
  (hosts) => {
    const others = exclusive ? [] : hosts.filter(({ host }) => host !== self.host)
    const next = [...others, self].sort((a, b) => (a.host < b.host ? -1 : 1))
    return same(hosts, next) ? undefined : next
  }

export const removing =
  (dead: ReadonlySet<Incarnation>): Step =>
  (hosts) => {
    const next = hosts.filter(({ incarnation }) => !dead.has(incarnation))
    return next.length === hosts.length ? undefined : next
  }
