/** All roles of one machine in one process, on embedded stores: `parley up`. */
import { connectNats } from '../../lib/bus/nats.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import type { Gateway } from '../../lib/gateway/gateway.ts'
import type { Log } from '../../lib/log.ts'
import { Metrics } from '../../lib/metrics.ts'
import { type Service, serviceGroup } from '../../lib/service.ts'
import { createApi } from './api.ts'
import { openDirectory } from './directory.ts'
import { createNodeGateway } from './gateway.ts'
import { createHost } from './host.ts'
import { provisionStreams, startServers } from './nats.ts'
import { createProjector } from './projector.ts'
import { gatewaySampler, hostSampler } from './samplers.ts'
import { openActorStores } from './stores.ts'
import { openNodeTokens } from './tokens.ts'

export type Node = {
  readonly service: Service
  readonly natsUrls: readonly string[]
  readonly apiUrl: () => string
  readonly gateway: Gateway | undefined
  /** Rooms and users are served. */
  ready(): boolean
}

/**
 * Opens the actors' stores (whose lock says that no other process has this data directory), then NATS, then
 * everything else; the directory opens beside all that. What was opened before a failure is closed again.
 */
export const openNode = async (config: Config, log: Log, withGateway: boolean): Promise<Node> => {
  const closers: (() => Promise<void>)[] = []
  const opening = new AbortController()
  try {
    const stores = await openActorStores(config, log)
    closers.unshift(() => stores.close())
    const onFailure = (err: Error) => {
      log.error({ err }, 'directory.failed')
      process.kill(process.pid, 'SIGTERM')
    }
    const directory = openDirectory(config, log, { onFailure, signal: opening.signal })
    closers.unshift(async () => {
      opening.abort(new Error('told to stop'))
      const store = await directory.catch(() => undefined)
      await store?.close()
    })
    // Whoever awaits it later sees its failure; until then it is not unheard.
    directory.catch(() => undefined)
    const servers = await startServers(config, log)
    closers.unshift(() => servers.stop())
    const shape = await provisionStreams(servers.urls, config, log)
    const nats = await connectNats({ servers: servers.urls, name: 'parley' })
    closers.unshift(() => nats.close())
    const tokens = await openNodeTokens(config)
    const metrics = new Metrics({ process: true })
    const host = createHost(config, nats, shape, stores, log)
    const { urls } = servers
    const projector = await createProjector(config, urls, nats, shape, stores, log, metrics)
    const ready = () => host.serving.length === shape.partitions
    const api = createApi({ config, nats, shape, directory, tokens, metrics, log, ready })
    // A connection of its own: client traffic must not stand behind the host's in one socket.
    const edge = withGateway
      ? await connectNats({ servers: servers.urls, name: 'parley gateway' })
      : undefined
    if (edge !== undefined) closers.unshift(() => edge.close())
    const gateway =
      edge === undefined ? undefined : createNodeGateway(config, edge, shape, tokens, log)
    const rest: Service = {
      name: 'stores',
      start: async (signal) => {
        // A directory that is waited for must not hold up the end.
        signal.addEventListener('abort', () => opening.abort(signal.reason), { once: true })
      },
      drain: async () => {
        for (const close of closers) await close()
      },
    }
    // The gateway before the API: sessions resume as soon as rooms are served, whatever the directory takes.
    const edges = gateway === undefined ? [] : [gateway, gatewaySampler(gateway, metrics)]
    const parts = [rest, projector, host, hostSampler(host, metrics), ...edges, api]
    const service = serviceGroup(parts, { name: 'node', log, clock: systemClock })
    return { service, natsUrls: servers.urls, apiUrl: () => api.url, gateway, ready }
  } catch (error) {
    for (const close of closers) await close().catch(() => undefined)
    throw error
  }
}
