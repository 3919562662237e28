/** The version of what hosts, gateways and logs say to each other inside a cluster; all its processes agree on it. */
export const WIRE = 1

/** What is fixed when a cluster is made; kept in KV `cluster` under `shape`. */
export interface FixedShape {
  readonly wire: number
  /** P: partitions of actors, logs and inboxes. */
  readonly partitions: number
  /** K: streams of each of LOG, INBOX and QUEUE; partition p lies in stream p mod K. */
  readonly streams: number
}

/** What may be changed later. Bytes are sums over the K streams of a family. */
export interface Limits {
  readonly logBytes: number
  readonly inboxBytes: number
  readonly queueBytes: number
  /** Messages that one durable queue holds before its user's actor resets it (contracts I5). */
  readonly queueMessages: number
  /** Consumers of one QUEUE stream, so durable queues: the server's default is 1,000 and each costs it 14 KB or more. */
  readonly queueConsumers: number
}

export interface Shape extends FixedShape {
  readonly replicas: 1 | 3 | 5
  readonly limits: Limits
}

const GIB = 1024 ** 3

export const DEFAULT_LIMITS: Limits = {
  logBytes: 16 * GIB,
  inboxBytes: 4 * GIB,
  queueBytes: 4 * GIB,
  queueMessages: 10_000,
  queueConsumers: 4_000,
}

export const DEFAULT_PARTITIONS = 64
const MAX_PARTITIONS = 4_096

/**
 * A shape with defaults: P = 64; K = 1 on one node and 8 in a cluster. Throws when the numbers make no sense.
 */
export const shape = (
  given: Partial<Omit<Shape, 'limits'>> & { readonly limits?: Partial<Limits> } = {},
): Shape => {
  const replicas = given.replicas ?? 1
  const partitions = given.partitions ?? DEFAULT_PARTITIONS
  const streams = given.streams ?? Math.min(replicas === 1 ? 1 : 8, partitions)
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > MAX_PARTITIONS) {
    throw new RangeError(`partitions must be 1 to ${MAX_PARTITIONS}, not ${partitions}`)
  }
  if (!Number.isInteger(streams) || streams < 1 || streams > partitions) {
    throw new RangeError(`streams must be 1 to ${partitions} (the partitions), not ${streams}`)
  }
  return {
    wire: given.wire ?? WIRE,
    partitions,
    streams,
    replicas,
    limits: { ...DEFAULT_LIMITS, ...given.limits },
  }
}
