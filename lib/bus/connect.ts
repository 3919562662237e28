import { connect, type NatsConnection } from '@nats-io/transport-node'
import { ParleyError } from '../errors.ts'

export type NatsOptions = {
  /** One or more `nats://host:port`. */
  readonly servers: readonly string[]
  /** Shown in the server's connection list. */
  readonly name: string
  readonly token?: string
}

/** A connection that comes back by itself for as long as it takes. @throws ParleyError unavailable when none answers now */
export const openConnection = (options: NatsOptions): Promise<NatsConnection> =>
  connect({
    servers: [...options.servers],
    name: options.name,
    ...(options.token === undefined ? {} : { token: options.token }),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    reconnectJitter: 100,
    pingInterval: 5000,
    maxPingOut: 2,
    timeout: 5000,
  }).catch((cause: unknown) => {
    throw new ParleyError('unavailable', {
      detail: `No nats-server answers at ${options.servers.join(', ')}; start one, or check the address.`,
      cause,
    })
  })
