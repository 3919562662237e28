import type { Log } from '../../log.ts'

export type CqlTls = {
  /** PEM. Without `ca` the authorities that Node knows are believed. */
  readonly ca?: Buffer
  readonly key?: Buffer
  readonly cert?: Buffer
}

export type CqlOptions = {
  /** Addresses or names of some nodes, without ports; the others are learned from them. */
  readonly contactPoints: readonly string[]
  /** The same on all nodes. */
  readonly port: number
  /** The one whose nodes are asked and whose quorum counts. */
  readonly datacenter: string
  readonly keyspace: string
  /** Datacenter → copies, for a keyspace that has to be made; empty: it must be there. */
  readonly replication: ReadonlyMap<string, number>
  /** ScyllaDB only, and only when the keyspace is made; `default` says nothing. */
  readonly tablets: 'default' | 'on' | 'off'
  readonly credentials?: { readonly username: string; readonly password: string }
  readonly tls?: CqlTls
  readonly log: Log
  /** How long an opening waits for the first node, ms. */
  readonly openMs?: number
}
