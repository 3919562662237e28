/**
 * A connection for reading streams in bulk. Apart from the one that carries messages, so that megabytes of a catch-up
 * do not stand in front of an ack in the same socket.
 */
import { connect } from '@nats-io/transport-node'
import { ParleyError } from '../errors.ts'
import type { NatsOptions } from './nats.ts'
import { type RecordSource, type RecordSourceOptions, recordSource } from './record-source.ts'

export type RecordConnection = {
  source(options: RecordSourceOptions): RecordSource
  /** Closes the connection, and with it every source. */
  close(): Promise<void>
}

/** Waits for the first server to answer. @throws ParleyError unavailable */
export const connectRecords = async (options: NatsOptions): Promise<RecordConnection> => {
  const connection = await connect({
    servers: [...options.servers],
    name: options.name,
    ...(options.token === undefined ? {} : { token: options.token }),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    reconnectJitter: 100,
    pingInterval: 5000,
    maxPingOut: 2,
  }).catch((cause: unknown) => {
    throw new ParleyError('unavailable', {
      detail: `No nats-server answers at ${options.servers.join(', ')}; start one, or check the address.`,
      cause,
    })
  })
  return {
    source: (source) => recordSource(connection, source),
    close: async () => {
      if (!connection.isClosed()) await connection.close()
    },
  }
}
