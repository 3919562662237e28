import { join } from 'node:path'
import { type LaunchOptions, launchNats, type NatsServer } from './launch.ts'
import { freePorts } from './ports.ts'

export interface ClusterOptions
  extends Pick<LaunchOptions, 'sync' | 'serverPath' | 'say' | 'maxStoreBytes' | 'startMs'> {
  /** Each server has a folder of its own in it. */
  readonly dataDir: string
  readonly size?: number
}

export interface NatsCluster extends AsyncDisposable {
  readonly servers: readonly NatsServer[]
  /** The addresses of all servers, for the `servers` option of a connection. */
  readonly urls: readonly string[]
  stop(): Promise<void>
}

/**
 * Starts a cluster of nats-servers on loopback (default three) and waits until it has elected a leader. Servers are not
 * supervised: tests kill, pause and start each of them as they like, always on the same ports and store.
 */
export const launchCluster = async (options: ClusterOptions): Promise<NatsCluster> => {
  const { dataDir, size = 3, ...rest } = options
  const ports = await freePorts(size * 2)
  const routes = ports.slice(size)
  const launches = routes.map((route, i) =>
    launchNats({
      ...rest,
      dataDir: join(dataDir, `n${i}`),
      port: ports[i]!,
      cluster: { clusterName: 'parley', serverName: `n${i}`, port: route, routes },
    }),
  )
  const servers: NatsServer[] = []
  const failures: unknown[] = []
  for (const result of await Promise.allSettled(launches)) {
    if (result.status === 'fulfilled') servers.push(result.value)
    else failures.push(result.reason)
  }
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()))
  }
  if (failures.length > 0) {
    await stop()
    throw new AggregateError(failures, 'the cluster of nats-servers did not start')
  }
  return {
    servers,
    urls: servers.map((server) => server.url),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
