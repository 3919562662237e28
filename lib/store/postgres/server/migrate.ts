/** Brings a database to the schema of this version, whoever else tries that at the same time. */
import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { migrate as apply } from 'drizzle-orm/postgres-js/migrator'
import type { Connection } from './connection.ts'

/** Of the advisory lock: any number that nothing else in a database of ours takes. */
const LOCK = 0x7061726c
/** A change of a table that waits for others holds up whoever comes after it. */
const DDL_LOCK_MS = 10_000

const rowsOf = async (connection: Connection, query: ReturnType<typeof sql>) =>
  (await connection.db.execute(query)) as unknown as Record<string, unknown>[]

/** When the newest migration that was applied was made, ms; 0 when there is none. */
const applied = async (connection: Connection): Promise<number> => {
  const [found] = await rowsOf(
    connection,
    sql`select to_regclass('drizzle.__drizzle_migrations') is not null as there`,
  )
  if (found?.there !== true) return 0
  const [newest] = await rowsOf(
    connection,
    sql`select max(created_at)::text as made from drizzle.__drizzle_migrations`,
  )
  return Number(newest?.made ?? 0)
}

/**
 * Applies what is missing, all of it or nothing; a database that is newer is left as it is. The connection is good for
 * nothing else afterwards. One that is up to date takes no lock, and needs no right to make anything.
 */
export const migrateServer = async (connection: Connection, folder: URL): Promise<void> => {
  const config = { migrationsFolder: fileURLToPath(folder) }
  const newest = Math.max(...readMigrationFiles(config).map(({ folderMillis }) => folderMillis))
  if ((await applied(connection)) >= newest) return
  await connection.db.execute(sql.raw(`set statement_timeout = 0`))
  await connection.db.execute(sql.raw(`set lock_timeout = 0`))
  await connection.db.execute(sql.raw(`select pg_advisory_lock(${LOCK})`))
  await connection.db.execute(sql.raw(`set lock_timeout = ${DDL_LOCK_MS}`))
  await apply(connection.db as unknown as Parameters<typeof apply>[0], config)
  // The end of the connection gives the lock back, however it ends.
}
