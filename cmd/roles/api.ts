/** The HTTP role: accounts, devices, and where the gateways are. */
import { Api } from '../../lib/api/api.ts'
import { API_DEFAULTS } from '../../lib/api/config.ts'
import { Outbox } from '../../lib/api/outbox.ts'
import { openPasswords } from '../../lib/api/passwords.ts'
import { accountPublisher } from '../../lib/bus/accounts.ts'
import type { Nats } from '../../lib/bus/bus.ts'
import { watchGateways } from '../../lib/bus/gateways.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import type { Log } from '../../lib/log.ts'
import type { Metrics } from '../../lib/metrics.ts'
import type { Service } from '../../lib/service.ts'
import type { DirectoryStore } from '../../lib/store/directory/directory.ts'
import type { Tokens } from '../../lib/tokens/tokens.ts'
import type { FixedShape } from '../../nats/shape.ts'

export type ApiRole = {
  readonly outbox: Outbox
  readonly api: Api
  readonly services: readonly Service[]
}

export const createApi = async (
  config: Config,
  nats: Nats,
  shape: FixedShape,
  directory: DirectoryStore,
  tokens: Tokens,
  ready: () => boolean,
  log: Log,
  metrics: Metrics,
): Promise<ApiRole> => {
  const publisher = accountPublisher(nats, shape.partitions)
  const outbox = new Outbox({ directory, publishAccount: publisher.publish, log })
  const gateways = await watchGateways(await nats.bucket('gateways'), nats, systemClock)
  const api = new Api({
    config: {
      ...API_DEFAULTS,
      host: config.apiHost,
      port: config.apiPort,
      origins: config.origins,
      trustProxy: config.trustedProxies.length === 0 ? false : config.trustedProxies,
      rates: {
        ...API_DEFAULTS.rates,
        perAddress: config.apiRate,
        registerPerAddress: config.loginRate,
        loginPerAddress: config.loginRate,
      },
    },
    directory,
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
  return { outbox, api, services: [ends, outbox, api] }
}
