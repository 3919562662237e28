/** The directory's statements on a pool of connections, and which of them may be said again after a failure. */
import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import { ParleyError } from '../../../errors.ts'
import type { Database, DirectoryDatabase, Patience } from '../database.ts'
import { driverText } from '../failure.ts'
import type { Connection } from './connection.ts'
import type { Pool } from './pool.ts'
import type { Problem } from './problems.ts'

/** What a call may take in all; the server's own limits for a statement are below (open.ts). */
const CALL_MS: Record<Patience, number> = { brief: 5_000, bulk: 600_000 }
/** How long without an answer until somebody looks whether the server is there. */
const SILENT_MS: Record<Patience, number> = { brief: 350, bulk: 5_000 }
const ATTEMPTS = 4
const AGAIN_MS = 20

export const serverDatabase = (
  pool: Pool,
  problemOf: (error: unknown) => Problem,
): DirectoryDatabase => {
  /** A problem of ours is final: the pool is down, or time is up, or the commit is in doubt. */
  const call = async <T>(
    work: (connection: Connection) => Promise<T>,
    patience: Patience,
  ): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await pool.use(
          (connection) => kept(connection, work),
          CALL_MS[patience],
          SILENT_MS[patience],
        )
      } catch (error) {
        if (error instanceof ParleyError) throw error
        const problem = problemOf(error)
        const repeats = problem.kind === 'lost' || problem.kind === 'again'
        if (!repeats || attempt === ATTEMPTS) throw problem.error
        await delay(AGAIN_MS * attempt * Math.random())
      }
    }
  }

  /** A connection to what is a standby now is lost although it is open: the next one may find the primary. */
  const kept = async <T>(
    connection: Connection,
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> => {
    try {
      return await work(connection)
    } catch (error) {
      if (problemOf(error).kind === 'lost') connection.drop()
      throw error
    }
  }

  const commit = async ({ db }: Connection): Promise<void> => {
    try {
      await db.execute(sql`commit`)
    } catch (error) {
      if (problemOf(error).kind !== 'lost') throw error
      throw new ParleyError('unavailable', {
        detail:
          'the connection to PostgreSQL ended during a commit: it has happened, or it has not',
        cause: driverText(error),
      })
    }
  }

  const transaction = async <T>(
    connection: Connection,
    work: (tx: Database) => Promise<T>,
    patience: Patience,
  ): Promise<T> => {
    const { db } = connection
    await db.execute(sql`begin isolation level read committed read write`)
    let value: T
    try {
      if (patience === 'bulk') {
        await db.execute(sql.raw(`set local statement_timeout = ${CALL_MS.bulk}`))
      }
      value = await work(db)
    } catch (error) {
      if (connection.isOpen) await rollback(connection)
      throw error
    }
    await commit(connection)
    return value
  }

  const rollback = async (connection: Connection): Promise<void> => {
    try {
      await connection.db.execute(sql`rollback`)
    } catch {
      // Nobody may get a connection with half a transaction in it; its end rolls back as well.
      connection.destroy(new ParleyError('unavailable'))
    }
  }

  return {
    statement: (work) => call(({ db }) => work(db), 'brief'),
    transaction: (work, patience = 'brief') =>
      call((connection) => transaction(connection, work, patience), patience),
  }
}
