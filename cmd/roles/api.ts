/** The HTTP role: accounts, devices, and where the gateways are. */
import { Api } from '../../lib/api/api.ts'
import { API_DEFAULTS, type ApiConfig } from '../../lib/api/config.ts'
import { Outbox } from '../../lib/api/outbox.ts'
import { openPasswords } from '../../lib/api/passwords.ts'
import { accountPublisher } from '../../lib/bus/accounts.ts'
import type { Nats } from '../../lib/bus/bus.ts'
import { watchGateways } from '../../lib/bus/gateways.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import type { Log } from '../../lib/log.ts'
import type { Metrics } from '../../lib/metrics.ts'
import { type Service, serviceGroup } from '../../lib/service.ts'
import type { DirectoryStore } from '../../lib/store/directory/directory.ts'
import type { Tokens } from '../../lib/tokens/tokens.ts'
import type { FixedShape } from '../../nats/shape.ts'

export type ApiNeeds = {
  readonly config: Config
  readonly nats: Nats
  readonly shape: FixedShape
  /** Opened meanwhile: the rest of the process need not wait for it. */
  readonly directory: Promise<DirectoryStore>
  readonly tokens: Tokens
  readonly metrics: Metrics
  readonly log: Log
  ready(): boolean | Promise<boolean>
}

export type ApiRole = Service & { readonly url: string }

const apiConfig = (config: Config): ApiConfig => ({
  ...API_DEFAULTS,
  host: config.apiHost,
  port: config.apiPort,
  origins: config.origins,
  trustProxy: config.trustedProxies.length === 0 ? false : config.trustedProxies,
  refreshTtlMs: config.refreshDays * 86_400_000,
  rates: {
    ...API_DEFAULTS.rates,
    perAddress: config.apiRate,
    registerPerAddress: config.loginRate,
    loginPerAddress: config.loginRate,
  },
})

const compose = async ({
  config,
  nats,
  shape,
  directory,
  tokens,
  metrics,
  log,
  ready,
}: ApiNeeds) => {
  const publisher = accountPublisher(nats, shape.partitions)
  const gateways = await watchGateways(await nats.bucket('gateways'), nats, systemClock)
  const store = await directory
  const outbox = new Outbox({ directory: store, publishAccount: publisher.publish, log })
  const api = new Api({
    config: apiConfig(config),
    directory: store,
    tokens,
    passwords: await openPasswords(),
    outbox,
    gateways: () => gateways.list(),
    log,
    clock: systemClock,
    ready,
    metrics: { contentType: metrics.contentType, text: () => metrics.text() },
  })
  const ends: Service = {
    name: 'api connections',
    start: async () => {},
    drain: async () => {
      gateways.stop()
      publisher.close()
    },
  }
  const group = serviceGroup([ends, outbox, api], { name: 'api', log, clock: systemClock })
  return { api, group }
}

export const createApi = (needs: ApiNeeds): ApiRole => {
  let parts: Awaited<ReturnType<typeof compose>> | undefined
  return {
    name: 'api',
    /** Known once started. */
    get url() {
      return parts?.api.url ?? ''
    },
    start: async (signal) => {
      parts = await compose(needs)
      await parts.group.start(signal)
    },
    drain: async (deadline) => parts?.group.drain(deadline),
  }
}
