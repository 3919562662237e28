/**
 * A gateway in a process of its own. Its operations listener comes first and goes last; the gateway follows when NATS
 * and a cluster are there, and until then no client is let in.
 */
import { Operations } from '../../lib/api/operations.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import type { Gateway } from '../../lib/gateway/gateway.ts'
import type { Log } from '../../lib/log.ts'
import { Metrics } from '../../lib/metrics.ts'
import { type Service, serviceGroup } from '../../lib/service.ts'
import type { Tokens } from '../../lib/tokens/tokens.ts'
import { awaitCluster } from './await-cluster.ts'
import { createNodeGateway } from './gateway.ts'
import { checkGatewayConfig, natsUrlsOf } from './gateway-config.ts'
import { type NatsWatch, natsWatch } from './nats-watch.ts'
import { removeGatewayInfo, writeGatewayInfo } from './run-info.ts'
import { gatewaySampler } from './samplers.ts'
import { openNodeTokens } from './tokens.ts'

export type GatewayProcess = Service & {
  /** Where clients connect; known once started. */
  readonly url: string
}

/** `onOperations`: told where /health, /ready and /metrics are. @throws Error that says which setting is wrong, and how */
export const openGatewayProcess = async (
  config: Config,
  log: Log,
  onOperations: (url: string) => void,
): Promise<GatewayProcess> => {
  const urls = natsUrlsOf(config)
  checkGatewayConfig(config)
  const tokens = await openNodeTokens(config)
  const metrics = new Metrics({ process: true })
  const role = new GatewayRole(config, urls, tokens, metrics, log)
  const operations = new Operations({
    host: config.opsHost,
    port: config.opsPort,
    unready: () => role.unready(),
    metrics: { contentType: metrics.contentType, text: () => metrics.text() },
    log,
    clock: systemClock,
  })
  const { pid } = process
  const info = (): void => {
    const gateway = role.url === '' ? undefined : role.url
    writeGatewayInfo(config.data, { pid, gateway, operations: operations.url })
  }
  const known: Service = {
    name: 'gateway info',
    start: async () => {
      info()
      onOperations(operations.url)
    },
    drain: async () => removeGatewayInfo(config.data, pid),
  }
  const options = { name: 'gateway process', log, clock: systemClock }
  const group = serviceGroup([operations, known, role], options)
  return {
    name: group.name,
    get url() {
      return role.url
    },
    start: async (signal) => {
      await group.start(signal)
      info()
    },
    drain: (deadline) => group.drain(deadline),
  }
}

class GatewayRole implements Service {
  readonly name = 'gateway role'
  readonly #config: Config
  readonly #urls: () => readonly string[]
  readonly #tokens: Tokens
  readonly #metrics: Metrics
  readonly #log: Log
  /** Why it does not serve; undefined when it does, as far as it is its own affair. */
  #why: string | undefined = 'it starts'
  #gateway: Gateway | undefined
  #watch: NatsWatch | undefined
  #group: Service | undefined

  constructor(
    config: Config,
    urls: () => readonly string[],
    tokens: Tokens,
    metrics: Metrics,
    log: Log,
  ) {
    this.#config = config
    this.#urls = urls
    this.#tokens = tokens
    this.#metrics = metrics
    this.#log = log
  }

  get url(): string {
    return this.#gateway?.url ?? ''
  }

  async unready(): Promise<string | undefined> {
    return this.#why ?? this.#watch?.unready()
  }

  async start(signal: AbortSignal): Promise<void> {
    const log = this.#log
    const waiting = (why: string): void => {
      this.#why = why
    }
    const wait = { urls: this.#urls, name: 'parley gateway', log, waiting }
    const { nats, shape } = await awaitCluster(wait, signal)
    waiting('it reads which host owns what')
    const gateway = createNodeGateway(this.#config, nats, shape, this.#tokens, log)
    const connection: Service = {
      name: 'nats connection',
      start: async () => {},
      drain: () => nats.close(),
    }
    const watch = natsWatch(nats, log)
    const parts = [connection, watch, gateway, gatewaySampler(gateway, this.#metrics)]
    const group = serviceGroup(parts, { name: this.name, log, clock: systemClock })
    await group.start(signal)
    this.#gateway = gateway
    this.#watch = watch
    this.#group = group
    this.#why = undefined
  }

  async drain(deadline: number): Promise<void> {
    this.#why = 'it drains: clients are sent elsewhere'
    await this.#group?.drain(deadline)
  }
}
