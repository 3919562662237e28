/** What a probe measures: the cost of one stage of a message's way, alone, done as well as this machine can. */
export type Probe = {
  /** µs of server CPU a message, when many are on their way. */
  readonly us: number
  /** ms of one round trip of one message, nothing else going on. */
  readonly p50: number | undefined
}

export const PROBES = ['echo', 'publish', 'commit', 'encode'] as const
export type ProbeName = (typeof PROBES)[number]
export type ProbeResults = Readonly<Record<ProbeName, Probe>>

/** Messages that share an envelope or a batch: what the system itself reaches with 50 pairs × 16 in flight. */
export const BATCH = 16
/** Bytes of a message on the wire and in the log, and of an ack. */
export const MESSAGE_BYTES = 200
export const ACK_BYTES = 24

/** Messages per server CPU-second that nothing built of these stages can pass. */
export const limitOf = (probes: ProbeResults): number =>
  1e6 / PROBES.reduce((sum, name) => sum + probes[name].us, 0)

/** ms that the stages take one after the other: the floor of an ack's latency. */
export const floorMs = (probes: ProbeResults): number =>
  PROBES.reduce((sum, name) => sum + (probes[name].p50 ?? 0), 0)
