/** What a gateway can be told; lib/config.ts merges the defaults with the environment. */
export type GatewayConfig = {
  /** Address to listen on. */
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Where clients reach this gateway; undefined derives it from host and port. */
  readonly url: string | undefined
  /** Several gateway processes may listen on the port; the kernel spreads the connections. */
  readonly sharePort: boolean
  /** PEM files; undefined serves without TLS. */
  readonly tls: { readonly key: string; readonly cert: string } | undefined
  /** Exact origins (`https://chat.example`) that browsers may come from; `*` admits all. No Origin header is admitted. */
  readonly origins: readonly string[]
  /** Addresses or CIDR ranges of proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[]
  /** Partitions of the cluster (KV `cluster`). */
  readonly partitions: number
  readonly maxSessions: number
  /** Connections at once of one IPv4 address or IPv6 /64, how many a second, and how many at once of those. */
  readonly maxSessionsPerAddress: number
  readonly connectRate: number
  readonly connectBurst: number
  /** Largest text of a message, bytes. */
  readonly textBytes: number
  /** ms from the connection to a valid hello. */
  readonly helloMs: number
  /** A client sends a frame at least this often, ms; after two of them in silence it is closed. */
  readonly heartbeatMs: number
  /** A session's beat to its user's actor, ms (contracts R3). */
  readonly beatMs: number
  /** Frames a second of a device, and how many at once. */
  readonly frameRate: number
  readonly frameBurst: number
  /** Bytes a second of a device, and how many at once. */
  readonly byteRate: number
  readonly byteBurst: number
  /** Bytes that may wait for a session before it is closed as slow. */
  readonly outboxBytes: number
  /** Commands of one session that may be unanswered. */
  readonly sessionCommands: number
  /** Commands to one partition that may be unanswered. */
  readonly partitionCommands: number
  /** Bytes of all commands that may be unanswered. */
  readonly commandBytes: number
  /** ms without a reply before everything of the partition is sent again (contracts O4). */
  readonly resendMs: number
  /** ms that a command waits for a partition without an owner. */
  readonly holdMs: number
  /** ms after which an unanswered command is given up as `unavailable`. */
  readonly giveUpMs: number
  /** How often the entry in KV `gateways` is put, ms. */
  readonly entryMs: number
  /** ms over which a drain spreads its closes. */
  readonly drainSpreadMs: number
}

export const GATEWAY_DEFAULTS: GatewayConfig = {
  host: '127.0.0.1',
  port: 8090,
  url: undefined,
  sharePort: false,
  tls: undefined,
  origins: [],
  trustedProxies: [],
  partitions: 64,
  maxSessions: 200_000,
  maxSessionsPerAddress: 20_000,
  connectRate: 1_000,
  connectBurst: 20_000,
  textBytes: 8192,
  helloMs: 5_000,
  heartbeatMs: 30_000,
  beatMs: 5_000,
  frameRate: 500,
  frameBurst: 2_000,
  byteRate: 512 * 1024,
  byteBurst: 2048 * 1024,
  outboxBytes: 1024 * 1024,
  sessionCommands: 1024,
  partitionCommands: 8192,
  commandBytes: 64 * 1024 * 1024,
  resendMs: 2_000,
  holdMs: 10_000,
  giveUpMs: 30_000,
  entryMs: 2_000,
  drainSpreadMs: 5_000,
}
