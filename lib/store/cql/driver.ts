/** How the driver is set up: one client that writes, and one that may ask a second node when the first is slow. */
import { setTimeout as delay } from 'node:timers/promises'
import { auth, Client, type ClientOptions, policies, types } from 'cassandra-driver'
import type { CqlOptions } from './options.ts'

/** What one node gets before the next is asked. Operations as a whole: see session.ts. */
const NODE_MS = 900
const CONNECT_MS = 2000
/** Between attempts to reach a node that is away. */
const AGAIN_MS = 500
const HEARTBEAT_MS = 5000
/** A read that one node has not answered by then is asked of a second one too. */
const SPECULATE_MS = 100
const SECOND_NODES = 1
const CONNECTIONS = 4
/** A schema change gives up waiting for all nodes to know it. */
const AGREE_S = 20

/** Every statement of Parley may be repeated: what a timeout leaves in doubt is asked of the next node, once. */
const SAME = types.consistencies.localQuorum

class RetryOnNext extends policies.retry.RetryPolicy {
  override onReadTimeout(info: policies.retry.OperationInfo) {
    return this.#next(info)
  }
  override onWriteTimeout(info: policies.retry.OperationInfo) {
    return this.#next(info)
  }
  #next(info: policies.retry.OperationInfo): policies.retry.DecisionInfo {
    return info.nbRetry === 0 ? this.retryResult(SAME, false) : this.rethrowResult()
  }
}

const settings = (options: CqlOptions): ClientOptions => ({
  contactPoints: [...options.contactPoints],
  localDataCenter: options.datacenter,
  protocolOptions: { port: options.port, maxSchemaAgreementWaitSeconds: AGREE_S },
  ...(options.credentials === undefined
    ? {}
    : {
        authProvider: new auth.PlainTextAuthProvider(
          options.credentials.username,
          options.credentials.password,
        ),
      }),
  ...(options.tls === undefined ? {} : { sslOptions: { ...options.tls } }),
  pooling: {
    coreConnectionsPerHost: {
      [types.distance.local]: CONNECTIONS,
      [types.distance.remote]: 0,
      [types.distance.ignored]: 0,
    },
    heartBeatInterval: HEARTBEAT_MS,
  },
  socketOptions: { connectTimeout: CONNECT_MS, readTimeout: NODE_MS },
  encoding: { useUndefinedAsUnset: true },
  queryOptions: {
    prepare: true,
    isIdempotent: true,
    consistency: types.consistencies.localQuorum,
    // Pages are keyset pages: a statement's own LIMIT ends them.
    fetchSize: 5000,
  },
})

const shared = () => ({
  retry: new RetryOnNext(),
  reconnection: new policies.reconnection.ConstantReconnectionPolicy(AGAIN_MS),
})

/** What the driver's declarations leave out of its `Host`: closes it, but only without waiting for good. */
type DriverHost = { shutdown(waitForPending: boolean): Promise<void> }

/** Lets what is under way end, then closes it, never to be connected or watched again. */
const retire = async (host: DriverHost): Promise<void> => {
  await host.shutdown(true)
  await delay(2 * NODE_MS, undefined, { ref: false })
  await host.shutdown(false)
}

/** And of its `Client`. With `hosts` it calls itself. */
type DriverControl = { controlConnection: { _refresh(hosts?: unknown): Promise<void> } }

/**
 * Mends what version 4.10 of the driver does when it has lost all nodes and finds them again. It makes their hosts anew and
 * leaves the old ones connecting for ever. And if its first connection goes as well, it looks for another one twice at
 * once; one of the two fails with a TypeError that nobody catches and that would end this process. Here the second waits.
 */
const made = (options: ClientOptions): Client => {
  const client = new Client(options)
  client.on('hostRemove', (host: DriverHost) => void retire(host).catch(() => undefined))
  const { controlConnection } = client as unknown as DriverControl
  const refresh = controlConnection._refresh.bind(controlConnection)
  let running = false
  let again = false
  controlConnection._refresh = async (hosts) => {
    if (hosts !== undefined) return refresh(hosts)
    again = running
    if (running) return
    running = true
    try {
      do {
        again = false
        await refresh()
      } while (again)
    } catch {
      setTimeout(() => void controlConnection._refresh(), AGAIN_MS).unref()
    } finally {
      running = false
    }
  }
  return client
}

export const writingClient = (options: CqlOptions): Client =>
  made({ ...settings(options), policies: shared() })

export const readingClient = (options: CqlOptions): Client => {
  const speculativeExecution = new policies.speculativeExecution.ConstantSpeculativeExecutionPolicy(
    SPECULATE_MS,
    SECOND_NODES,
  )
  return made({ ...settings(options), policies: { ...shared(), speculativeExecution } })
}

/** How long what was under way when a client was closed may still come to something. */
const SETTLE_MS = 5000
const SWEEP_MS = 100

/** Shuts a client down. Amid a reconnect the driver makes hosts afterwards: they are retired as they come. */
export const closeClient = async (client: Client): Promise<void> => {
  const sweep = async (): Promise<void> => {
    const hosts = (client.hosts?.values() ?? []) as unknown as DriverHost[]
    await Promise.all(hosts.map((host) => host.shutdown(false).catch(() => undefined)))
  }
  await client.shutdown()
  await sweep()
  // Holds nothing up: what it is for would.
  const timer = setInterval(() => void sweep(), SWEEP_MS).unref()
  setTimeout(() => clearInterval(timer), SETTLE_MS).unref()
}
