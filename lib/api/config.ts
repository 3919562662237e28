export type ApiConfig = {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Origins of web pages that may call, exactly as browsers send them; others get no CORS headers. */
  readonly origins: readonly string[]
  /** Whose X-Forwarded-For is believed: true for every peer, or addresses and networks. */
  readonly trustProxy: boolean | readonly string[]
  /** Serve the documentation under /docs. */
  readonly docs: boolean
  /** Largest request body, bytes. */
  readonly bodyLimit: number
  /** How long a device stays logged in without a refresh, ms. */
  readonly refreshTtlMs: number
  /** How long a login waits until the user's actor is sure to hear of the device, ms. */
  readonly confirmMs: number
  /** Requests a minute. */
  readonly rates: {
    /** Of one address (IPv6: one /64), to all routes but those below. */
    readonly perAddress: number
    readonly registerPerAddress: number
    readonly loginPerAddress: number
    /** Passwords tried for one handle, whoever tries. */
    readonly loginPerHandle: number
    readonly refreshPerAddress: number
    /** Look-ups of other users, by one user. */
    readonly lookupPerUser: number
  }
}

export const API_DEFAULTS: ApiConfig = {
  host: '127.0.0.1',
  port: 8080,
  origins: [],
  trustProxy: false,
  docs: true,
  bodyLimit: 16 << 10,
  refreshTtlMs: 30 * 24 * 3_600_000,
  confirmMs: 5_000,
  rates: {
    perAddress: 600,
    registerPerAddress: 60,
    loginPerAddress: 60,
    loginPerHandle: 20,
    refreshPerAddress: 300,
    lookupPerUser: 60,
  },
}
