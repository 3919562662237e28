/**
 * Rendezvous hashing: each partition ranks all hosts in an order of its own, and the first one that is there takes it
 * (contracts O2). Hosts that come or go change nothing for partitions that rank others higher.
 */

const utf8 = new TextEncoder()

/** FNV-1a with murmur's finalizer. Part of what hosts agree on: all of a cluster must compute the same. */
const weight = (host: string, p: number): number => {
  let hash = 0x811c9dc5
  for (const byte of utf8.encode(`${p}/${host}`)) hash = Math.imul(hash ^ byte, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/**
 * The host that takes partition `p`; undefined when there is none. It goes by `host`, not by incarnation, so that a
 * host that starts again takes what it had.
 */
export const winner = <T extends { readonly host: string }>(
  p: number,
  hosts: readonly T[],
): T | undefined => {
  let best: T | undefined
  let most = -1
  for (const candidate of hosts) {
    const its = weight(candidate.host, p)
    if (its > most || (its === most && candidate.host < best!.host)) {
      best = candidate
      most = its
    }
  }
  return best
}
