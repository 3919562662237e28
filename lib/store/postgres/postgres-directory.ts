import { ACCOUNT_LIMITS } from '../../protocol/account.ts'
import type { DirectoryStore } from '../directory/directory.ts'
import { accounts } from './accounts.ts'
import type { DirectoryParts } from './database.ts'
import { outboxRows } from './outbox.ts'
import { sessions } from './sessions.ts'

/** The directory over any PostgreSQL, migrated; what opened the database closes it. Error: RangeError for the limits. */
export const postgresDirectory = (
  parts: DirectoryParts,
  close: () => Promise<void>,
): DirectoryStore => {
  const { maxDevices, maxRemoved } = parts.limits
  if (maxDevices + maxRemoved > ACCOUNT_LIMITS.devices) {
    throw new RangeError(`an account record holds at most ${ACCOUNT_LIMITS.devices} devices`)
  }
  return { ...accounts(parts), ...sessions(parts), ...outboxRows(parts), close }
}

/** Of the schema, in the form of drizzle-kit; applied in order, once each, when the store opens. */
export const MIGRATIONS = new URL('./migrations', import.meta.url)
