import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import type { DirectoryLimits } from '../directory/directory.ts'

/** A connection or a transaction of either driver. Only the query builder gives the same results on both. */
export type Database = PgDatabase<PgQueryResultHKT, Record<string, never>>

/** How long the work may take: an answer that a person waits for, or all rows of a table. */
export type Patience = 'brief' | 'bulk'

/**
 * What the directory needs of PostgreSQL, wherever that runs. `work` may be called again, on another connection, after
 * a failure: it must not change anything outside.
 */
export interface DirectoryDatabase {
  /** One statement whose repetition does no harm: a read, or a write that comes to the same. */
  statement<T>(work: (db: Database) => Promise<T>): Promise<T>
  /** All or nothing, read committed. Repeated only when it is known not to have happened. */
  transaction<T>(work: (tx: Database) => Promise<T>, patience?: Patience): Promise<T>
}

export type DirectoryParts = { readonly db: DirectoryDatabase; readonly limits: DirectoryLimits }
