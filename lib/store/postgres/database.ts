import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import type { DirectoryLimits } from '../directory/directory.ts'

/** A database or a transaction of either driver. Only the query builder gives the same results on both. */
export type Database = PgDatabase<PgQueryResultHKT, Record<string, never>>

export type DirectoryParts = { readonly db: Database; readonly limits: DirectoryLimits }
