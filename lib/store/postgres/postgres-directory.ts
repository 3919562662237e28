import type { DirectoryStore } from '../directory/directory.ts'
import { accounts } from './accounts.ts'
import type { DirectoryParts } from './database.ts'
import { outboxRows } from './outbox.ts'
import { sessions } from './sessions.ts'

/** The directory over any PostgreSQL, migrated; what opened the database closes it. */
export const postgresDirectory = (
  parts: DirectoryParts,
  close: () => Promise<void>,
): DirectoryStore => ({
  ...accounts(parts),
  ...sessions(parts),
  ...outboxRows(parts),
  close,
})

/** Of the schema, in the form of drizzle-kit; applied in order, once each, when the store opens. */
export const MIGRATIONS = new URL('./migrations', import.meta.url)
