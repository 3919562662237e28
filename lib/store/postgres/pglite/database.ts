/** PGlite's data in a directory: made whole or not at all, migrated, one process at a time (lock.ts). */
import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PGlite } from '@electric-sql/pglite'
import { drizzle } from 'drizzle-orm/pglite'
import { migrate } from 'drizzle-orm/pglite/migrator'
import type { DirectoryLimits, DirectoryStore } from '../../directory/directory.ts'
import type { DirectoryDatabase } from '../database.ts'
import { MIGRATIONS, postgresDirectory } from '../postgres-directory.ts'

/** A first start takes seconds, and half a database cannot be opened: it gets its name when it is whole. */
export const makeDatabase = async (directory: string): Promise<string> => {
  const data = join(directory, 'data')
  if (existsSync(data)) return data
  const unfinished = join(directory, 'data.unfinished')
  await rm(unfinished, { recursive: true, force: true })
  const client = await PGlite.create(unfinished)
  await client.close()
  await rename(unfinished, data)
  return data
}

export const openDatabase = async (
  directory: string,
  limits: DirectoryLimits,
): Promise<DirectoryStore> => {
  const client = await PGlite.create(await makeDatabase(directory))
  const db = drizzle({ client })
  await migrate(db, { migrationsFolder: fileURLToPath(MIGRATIONS) })
  const port: DirectoryDatabase = {
    statement: (work) => work(db),
    transaction: (work) => db.transaction(work),
  }
  return postgresDirectory({ db: port, limits }, () => client.close())
}
