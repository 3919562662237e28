/** NATS for this process: the configured servers, or one of our own in the data directory. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withConnection } from '../../lib/bus/provisioning.ts'
import type { Config } from '../../lib/config.ts'
import type { Log } from '../../lib/log.ts'
import { launchNats } from '../../nats/launch.ts'
import { provision, readShape } from '../../nats/provision.ts'
import { type FixedShape, type Shape, shape } from '../../nats/shape.ts'

export type Servers = { readonly urls: readonly string[]; stop(): Promise<void> }

/** The port that the first start took: clients inside the cluster reconnect to it after a restart. */
const rememberedPort = (config: Config, path: string): number =>
  config.natsPort !== 0 || !existsSync(path) ? config.natsPort : Number(readFileSync(path, 'utf8'))

/** @throws Error that says what to do when no server can be had. */
export const startServers = async (config: Config, log: Log): Promise<Servers> => {
  if (config.natsUrl.length > 0) return { urls: config.natsUrl, stop: async () => {} }
  const dataDir = join(config.data, 'nats')
  const portFile = join(config.data, 'nats.port')
  const options = {
    dataDir,
    sync: config.sync,
    supervise: true,
    maxStoreBytes: 2 * (config.logBytes + config.inboxBytes) + 8 * 2 ** 30,
    say: (line: string) => log.info({ line }, 'nats.launch'),
    ...(config.natsServer === '' ? {} : { serverPath: config.natsServer }),
  }
  const port = rememberedPort(config, portFile)
  const server = await launchNats({ ...options, port }).catch((error: unknown) => {
    // Somebody else took the remembered port meanwhile; only a configured one must be kept.
    if (port === 0 || config.natsPort !== 0) throw error
    return launchNats({ ...options, port: 0 })
  })
  writeFileSync(portFile, String(server.port))
  server.onExit(({ code, signal }) => log.warn({ code, signal }, 'nats.exited'))
  log.info({ url: server.url, pid: server.pid }, 'nats.serving')
  return { urls: [server.url], stop: () => server.stop() }
}

const wanted = (config: Config): Shape =>
  shape({
    partitions: config.partitions,
    ...(config.streams === 0 ? {} : { streams: config.streams }),
    replicas: config.replicas as Shape['replicas'],
    limits: { logBytes: config.logBytes, inboxBytes: config.inboxBytes },
  })

/** Makes streams and buckets, or brings them up to what is declared. @throws IncompatibleError */
export const provisionStreams = async (
  urls: readonly string[],
  config: Config,
  log: Log,
): Promise<FixedShape> => {
  const declared = wanted(config)
  const { created, changed } = await withConnection(urls, (nc) => provision(nc, declared))
  if (created.length > 0) log.info({ created: created.length }, 'streams.created')
  for (const change of changed) log.info({ ...change }, 'streams.changed')
  return declared
}

export const shapeOf = (urls: readonly string[]): Promise<FixedShape> =>
  withConnection(urls, readShape)
