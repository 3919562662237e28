/** A gateway on a real nats-server, with scripted hosts behind it and clients before it. */
import { connect } from '@nats-io/transport-node'
import { queueConsumer } from '../../../nats/consumers.ts'
import { provision } from '../../../nats/provision.ts'
import { shape } from '../../../nats/shape.ts'
import type { Nats } from '../../bus/bus.ts'
import { connectNats } from '../../bus/nats.ts'
import { systemClock } from '../../clock.ts'
import { refuse } from '../../errors.ts'
import { GATEWAY_DEFAULTS, type GatewayConfig } from '../../gateway/config.ts'
import { createGateway, type Gateway } from '../../gateway/gateway.ts'
import type { Identity, Verifier } from '../../gateway/verifier.ts'
import type { DeviceId, UserId } from '../../ids.ts'
import { createLog, type Log } from '../../log.ts'
import { startNats } from '../servers/nats.ts'
import { ScriptedHost } from './scripted-host.ts'

export const PARTITIONS = 4
export const ALL = [...Array(PARTITIONS).keys()]

interface Test {
  teardown(end: () => unknown): void
}

/** Tokens are `uSomebody/vDevice`, or `bad` and `expired`; with `slow:` before them the answer takes a promise. */
export const testVerifier: Verifier = {
  verify: (token) => {
    if (token.startsWith('slow:')) {
      return Promise.resolve(identityOf(token.slice(5)))
    }
    return identityOf(token)
  },
}

const identityOf = (token: string) => {
  if (token === 'expired') return refuse('token_expired')
  const [user, device] = token.split('/')
  if (!user?.startsWith('u') || !device?.startsWith('v')) return refuse('unauthorized')
  return { user: user as UserId, device: device as DeviceId, generation: 3, expires: 2 ** 42 }
}

export type World = {
  readonly nats: Awaited<ReturnType<typeof startNats>>
  readonly bus: Nats
  readonly log: Log
  /** Lines that were logged. */
  readonly lines: string[]
  gateway(config?: Partial<GatewayConfig>): Promise<Gateway>
  /** Another connection, and a host on it that owns nothing yet. */
  host(): Promise<ScriptedHost>
}

export const startWorld = async (t: Test): Promise<World> => {
  const nats = await startNats(t)
  const nc = await connect({ servers: nats.url })
  const its = shape({ partitions: PARTITIONS, streams: 1 })
  await provision(nc, its)
  await nc.close()
  const bus = await open(t, nats.url)
  const lines: string[] = []
  const destination = { write: (line: string) => lines.push(line) }
  const log = createLog({ level: 'debug', format: 'json', destination })
  return {
    nats,
    bus,
    log,
    lines,
    gateway: async (config = {}) => {
      const own = await open(t, nats.url)
      const gateway = createGateway({
        nats: own,
        verifier: testVerifier,
        resume: ({ user, device }: Identity) => `${user}/${device}`,
        config: { ...GATEWAY_DEFAULTS, port: 0, partitions: PARTITIONS, ...config },
        clock: systemClock,
        log,
        queueConsumer: (user, device) => queueConsumer(its, user, device),
      })
      await gateway.start(new AbortController().signal)
      t.teardown(() => gateway.drain(systemClock.monotonic() + 100))
      return gateway
    },
    host: async () => {
      const host = new ScriptedHost(await open(t, nats.url))
      t.teardown(() => host.stop())
      return host
    },
  }
}

const open = async (t: Test, url: string): Promise<Nats> => {
  const bus = await connectNats({ servers: [url], name: 'test' })
  t.teardown(() => bus.close())
  return bus
}
