/** A connection lent to whoever declares the streams (nats/provision.ts speaks to the driver itself). */
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { ParleyError } from '../errors.ts'

/** Opens a connection for `work` alone and closes it. @throws ParleyError unavailable */
export const withConnection = async <T>(
  servers: readonly string[],
  work: (connection: NatsConnection) => Promise<T>,
): Promise<T> => {
  const connection = await connect({
    servers: [...servers],
    name: 'parley provision',
    timeout: 10_000,
  }).catch((cause: unknown) => {
    throw new ParleyError('unavailable', {
      detail: `No nats-server answers at ${servers.join(', ')}; start one, or check the address.`,
      cause,
    })
  })
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}
