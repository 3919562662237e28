/**
 * Brings a keyspace to the newest schema. Each migration is applied once and recorded, in order, after all nodes agree
 * on the one before.
 *
 * Two processes at once: every statement is `IF NOT EXISTS`, and all processes send theirs to the same node (the one
 * with the lowest address that is up), which carries out schema changes one by one. No lightweight transaction is needed, and
 * none would do: the table that it would lock is made here too.
 */
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, errors, types } from 'cassandra-driver'
import { ParleyError } from '../../errors.ts'
import type { CqlOptions } from './options.ts'
import { MIGRATIONS, type Migration } from './schema.ts'

/** Of the server, for one change of the schema. */
const CHANGE_MS = 30_000
const KNOWN_MS = 100
const KNOWN_TRIES = 100
const NAME = /^[a-z][a-z0-9_]{0,47}$/

type Replication = Pick<CqlOptions, 'keyspace' | 'replication' | 'tablets'>

/** @throws ParleyError bad_request when it is no name that needs no quotes */
export const checkKeyspace = (keyspace: string): void => {
  if (!NAME.test(keyspace)) {
    throw new ParleyError('bad_request', {
      detail: `a keyspace is named by lower-case letters, digits and _ (at most 48), not "${keyspace}"`,
    })
  }
}

export const keyspaceStatement = ({ keyspace, replication, tablets }: Replication): string => {
  const copies = [...replication].map(([datacenter, count]) => `'${datacenter}': ${count}`)
  const options = [`replication = {'class': 'NetworkTopologyStrategy', ${copies.join(', ')}}`]
  if (tablets !== 'default') options.push(`tablets = {'enabled': ${tablets === 'on'}}`)
  return `CREATE KEYSPACE IF NOT EXISTS ${keyspace} WITH ${options.join(' AND ')}`
}

const digestOf = (migration: Migration): string =>
  createHash('sha256').update(migration.statements.join(';')).digest('hex').slice(0, 16)

/** Sends a change of the schema to the one node that takes them all, and waits until all nodes know it. */
const change = async (client: Client, options: CqlOptions, query: string): Promise<void> => {
  const [host] = client.hosts
    .values()
    .filter((host) => host.isUp() && host.datacenter === options.datacenter)
    .sort((a, b) => (a.address < b.address ? -1 : 1))
  if (host === undefined) throw new ParleyError('unavailable', { detail: 'no CQL node is up' })
  const { info } = await client.execute(query, [], { host, prepare: false, readTimeout: CHANGE_MS })
  // The driver waits for agreement up to its limit and tells how that ended; its declarations leave this out.
  if (!('isSchemaInAgreement' in info) || info.isSchemaInAgreement !== true) {
    throw new ParleyError('unavailable', { detail: 'the CQL nodes do not agree on the schema' })
  }
}

/**
 * Repeats what a node refuses since it does not know a table yet: a table is listed a moment before it can be used, when
 * another process makes it.
 */
const whenKnown = async <T>(run: () => Promise<T>): Promise<T> => {
  for (let tries = 1; ; tries++) {
    try {
      return await run()
    } catch (error) {
      const unknown =
        error instanceof errors.ResponseError && error.code === types.responseErrorCodes.invalid
      if (!unknown || tries === KNOWN_TRIES) throw error
      await delay(KNOWN_MS)
    }
  }
}

const found = async (client: Client, query: string, params: string[]): Promise<boolean> => {
  const { rows } = await client.execute(query, params)
  return rows.length > 0
}

const ensureKeyspace = async (client: Client, options: CqlOptions): Promise<void> => {
  const { keyspace, replication } = options
  const there = 'SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?'
  if (await found(client, there, [keyspace])) return
  if (replication.size === 0) {
    throw new ParleyError('not_found', {
      detail: `there is no keyspace ${keyspace}: make it, or set cqlReplication`,
    })
  }
  await change(client, options, keyspaceStatement(options))
  options.log.info({ keyspace }, 'cql.keyspace_made')
}

/** @throws ParleyError unavailable; internal when a recorded migration was another one than ours of that version */
export const migrate = async (
  client: Client,
  options: CqlOptions,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<void> => {
  const { keyspace, log } = options
  await ensureKeyspace(client, options)
  const table = `${keyspace}.migrations`
  const columns = 'version int PRIMARY KEY, name text, digest text, at timestamp'
  const there =
    'SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?'
  // Where nothing is to be done, no right to change the schema is needed.
  if (!(await found(client, there, [keyspace, 'migrations']))) {
    await change(client, options, `CREATE TABLE IF NOT EXISTS ${table} (${columns})`)
  }
  const { rows } = await whenKnown(() => client.execute(`SELECT version, digest FROM ${table}`, []))
  const recorded = new Map(rows.map((row) => [row.version as number, row.digest as string | null]))
  for (const migration of migrations) {
    const { version, name, statements } = migration
    const digest = digestOf(migration)
    const known = recorded.get(version)
    if (known === digest) continue
    if (typeof known === 'string') {
      throw new ParleyError('internal', {
        detail: `migration ${version} of ${keyspace} was another one: this keyspace belongs to something else`,
      })
    }
    for (const statement of statements) {
      await change(client, options, statement.replaceAll('$', keyspace))
    }
    // The time is of the first to record it: of two at once, the same row by either.
    await client.execute(
      `INSERT INTO ${table} (version, name, digest, at) VALUES (?, ?, ?, toTimestamp(now())) USING TIMESTAMP ?`,
      [version, name, digest, version],
    )
    log.info({ keyspace, version, name }, 'cql.migrated')
  }
}
