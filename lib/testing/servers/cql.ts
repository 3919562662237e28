import { createLog } from '../../log.ts'
import { closeClient, writingClient } from '../../store/cql/driver.ts'
import { type CqlStores, openCql } from '../../store/cql/open.ts'
import type { CqlOptions } from '../../store/cql/options.ts'
import type { Cassandra } from './cassandra.ts'

type Server = Pick<Cassandra, 'contactPoints' | 'port' | 'datacenter' | 'nodes'>

/** A keyspace on this server with a copy on each of its nodes. */
export const cqlOptions = (server: Server, keyspace: string): CqlOptions => ({
  contactPoints: server.contactPoints,
  port: server.port,
  datacenter: server.datacenter,
  keyspace,
  replication: new Map([[server.datacenter, server.nodes.length]]),
  tablets: 'default',
  log: createLog({ level: 'error', format: 'text' }),
})

const TABLES = ['messages', 'rooms', 'floors', 'room_states', 'user_rows', 'partitions']

/**
 * Opens stores by name on one keyspace: emptied, which costs less than another keyspace, when a name comes for the first
 * time. Also statements of a stranger, straight to the server.
 */
export const cqlStage = (server: Server, keyspace: string) => {
  const options = cqlOptions(server, keyspace)
  const client = writingClient(options)
  const names = new Set<string>()
  let named: string | undefined
  return {
    options,
    open: async (name: string, tables: readonly string[] = TABLES): Promise<CqlStores> => {
      const stores = await openCql(options)
      if (named !== name && names.has(name)) throw new Error(`${name} was emptied since`)
      if (!names.has(name)) {
        for (const table of tables) {
          await client.execute(`TRUNCATE ${keyspace}.${table}`, [], {
            prepare: false,
            readTimeout: 30_000,
          })
        }
      }
      names.add(name)
      named = name
      return stores
    },
    query: async (query: string, params: readonly unknown[] = []) =>
      (await client.execute(query.replaceAll('$', keyspace), [...params])).rows,
    close: () => closeClient(client),
  }
}
