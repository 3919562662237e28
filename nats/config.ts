import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export type Sync = 'default' | 'always'

/** A server's place in a cluster. */
export interface ClusterPlace {
  readonly clusterName: string
  /** Unique in the cluster, and the same for the same store for ever: Raft knows its peers by it. */
  readonly serverName: string
  readonly port: number
  /** The cluster ports of all servers, this one's too. */
  readonly routes: readonly number[]
}

export interface ServerSettings {
  /** Absolute; holds configuration, store, log and pid file. */
  readonly dataDir: string
  readonly port: number
  readonly monitorPort: number
  readonly sync: Sync
  /** Bytes that all streams on disk may take; what streams reserve with max_bytes is counted against it. */
  readonly maxStoreBytes: number
  readonly maxMemoryBytes: number
  readonly cluster?: ClusterPlace
}

export interface ServerFiles {
  readonly config: string
  readonly pid: string
  /** The process that launched the server. */
  readonly launcher: string
  readonly log: string
  /** What the server prints before it opens its log. */
  readonly output: string
}

export const filesOf = (dataDir: string): ServerFiles => ({
  config: join(dataDir, 'nats-server.conf'),
  pid: join(dataDir, 'nats-server.pid'),
  launcher: join(dataDir, 'launcher.pid'),
  log: join(dataDir, 'nats-server.log'),
  output: join(dataDir, 'nats-server.out'),
})

const quote = (text: string): string => `"${text.replace(/[\\"]/g, (c) => `\\${c}`)}"`
const loopback = (port: number): string => quote(`127.0.0.1:${port}`)

/** Fills the placeholders of a template; every one must have a value. */
export const fill = (template: string, values: Readonly<Record<string, string>>): string =>
  template.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`the template has no value for ${name}`)
    return value
  })

/** The text of a server's configuration file. */
export const renderConfig = async (settings: ServerSettings): Promise<string> => {
  const { dataDir, cluster, sync } = settings
  const files = filesOf(dataDir)
  const names = cluster === undefined ? ['single.conf'] : ['single.conf', 'three-nodes.conf']
  const parts = names.map((name) => readFile(new URL(`./${name}`, import.meta.url), 'utf8'))
  const template = (await Promise.all(parts)).join('')
  return fill(template, {
    name: quote(cluster?.serverName ?? 'parley'),
    listen: loopback(settings.port),
    http: loopback(settings.monitorPort),
    pidFile: quote(files.pid),
    logFile: quote(files.log),
    storeDir: quote(dataDir),
    maxStore: String(settings.maxStoreBytes),
    maxMemory: String(settings.maxMemoryBytes),
    sync: `sync_interval: ${sync === 'always' ? 'always' : '"2m"'}`,
    clusterName: quote(cluster?.clusterName ?? ''),
    clusterListen: loopback(cluster?.port ?? 0),
    routes: `[${(cluster?.routes ?? []).map((port) => quote(`nats://127.0.0.1:${port}`)).join(', ')}]`,
  })
}
