/** The stores on a CQL cluster (ScyllaDB or Cassandra), for a process that owns rooms and users or follows the log. */
import { setTimeout as delay } from 'node:timers/promises'
import type { HistoryStore } from '../history/history.ts'
import type { StateStore } from '../state/state.ts'
import { cqlHistory } from './cql-history.ts'
import { cqlState } from './cql-state.ts'
import { checkKeyspace, migrate } from './migrate.ts'
import type { CqlOptions } from './options.ts'
import { type CqlSession, connectCql, failureOf } from './session.ts'

const OPEN_MS = 30_000
const AGAIN_MS = 500

export type CqlStores = {
  readonly history: HistoryStore
  readonly state: StateStore
  close(): Promise<void>
}

const opened = async (options: CqlOptions): Promise<CqlSession> => {
  const session = await connectCql(options)
  try {
    await migrate(session.admin, options)
    return session
  } catch (error) {
    await session.hold()()
    throw error
  }
}

/**
 * Connects and brings the schema up to date. A cluster that does not answer is asked again for `openMs`; once open, the stores
 * find it again by themselves.
 * @throws ParleyError unavailable with the reason in words; not_found without the keyspace, bad_request for one that can't be
 */
export const openCql = async (options: CqlOptions): Promise<CqlStores> => {
  checkKeyspace(options.keyspace)
  const until = performance.now() + (options.openMs ?? OPEN_MS)
  for (;;) {
    try {
      const session = await opened(options)
      const history = cqlHistory(session)
      const state = cqlState(session)
      return {
        history,
        state,
        close: async () => {
          await history.close()
          await state.close()
        },
      }
    } catch (error) {
      const failure = failureOf(error)
      if (failure.code !== 'unavailable' || performance.now() > until) throw failure
      options.log.warn({ err: failure }, 'cql.not_open')
      await delay(AGAIN_MS)
    }
  }
}
