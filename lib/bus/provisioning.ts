/** A connection lent to whoever declares the streams (nats/provision.ts speaks to the driver itself). */
import type { NatsConnection } from '@nats-io/transport-node'
import { openConnection } from './connect.ts'

/** Opens a connection for `work` alone and closes it. @throws ParleyError unavailable */
export const withConnection = async <T>(
  servers: readonly string[],
  work: (connection: NatsConnection) => Promise<T>,
): Promise<T> => {
  const connection = await openConnection({ servers, name: 'parley provision' })
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}
