/** What the KV buckets hold, one reader and writer each: the shared state of a cluster as data. */
import type { GatewayId, Incarnation } from '../ids.ts'

const utf8 = new TextEncoder()
const text = new TextDecoder()

/** JSON in and out of a bucket. */
export const toJson = (value: unknown): Uint8Array => utf8.encode(JSON.stringify(value))
export const fromJson = <T>(bytes: Uint8Array): T => JSON.parse(text.decode(bytes)) as T

/** KV `owners`, key `<p>`: a hint; the log is the truth (contracts O2). */
export type Owner = {
  /** Epoch E: rises with every owner. */
  readonly epoch: number
  readonly incarnation: Incarnation
  readonly host: string
  /** `handed`: drained by the owner for `successor`. */
  readonly state: 'serving' | 'handed'
  readonly successor?: Incarnation
}

/** KV `gateways`, key `<g>`: put again every few seconds while it lives. */
export type GatewayEntry = {
  readonly gateway: GatewayId
  /** Where clients connect. */
  readonly url: string
  readonly sessions: number
  readonly draining: boolean
  /** ms since 1970 of the put; an entry older than 10 s is dead. */
  readonly time: number
}

/** KV `cluster`, key `members`: the placement view, changed only by CAS (contracts O2). */
export type Members = {
  readonly view: number
  readonly hosts: readonly {
    readonly incarnation: Incarnation
    readonly host: string
    readonly draining: boolean
  }[]
}
