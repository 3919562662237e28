/** Stores that several processes share: waited for, as long as it takes. */
import { join } from 'node:path'
import type { Config } from '../../lib/config.ts'
import { type CqlStores, openCql } from '../../lib/store/cql/open.ts'
import { cqlOptions } from '../../lib/store/cql/settings.ts'
import type { DirectoryStore } from '../../lib/store/directory/directory.ts'
import { openDirectory } from './directory.ts'
import type { Frame } from './role.ts'
import { openWhenFree } from './stores.ts'
import { untilThere } from './until-there.ts'

const EMBEDDED =
  'The embedded stores (LevelDB, PGlite) admit one process: run `parley up`, which holds this role, and gateways ' +
  'beside it with `parley gateway`'

/** @throws Error that says what to do when the actors' stores are embedded */
export const requireCql = (role: string, { cqlContactPoints }: Config): void => {
  if (cqlContactPoints.length > 0) return
  throw new Error(
    `\`parley ${role}\` needs stores that several processes can open. ${EMBEDDED}; or name ScyllaDB or Cassandra with --cql-contact-points.`,
  )
}

/** @throws Error that says what to do when the directory is embedded */
export const requirePostgres = (role: string, { postgresUrl }: Config): void => {
  if (postgresUrl !== '') return
  throw new Error(
    `\`parley ${role}\` needs stores that several processes can open. ${EMBEDDED}; or name PostgreSQL with --postgres-url.`,
  )
}

/** @throws ParleyError bad_request for a setting that is wrong, not_found without the keyspace */
export const awaitCql = async (
  { config, log, waiting }: Frame,
  signal: AbortSignal,
): Promise<CqlStores> => {
  // One attempt at a time: what is between them is decided here.
  const options = { ...(await cqlOptions(config, log)), openMs: 0 }
  const attempt = { open: () => openCql(options), close: (stores: CqlStores) => stores.close() }
  return untilThere(attempt, { event: 'cql.awaited', log, waiting }, signal)
}

/** The same with the lock of the data directory, by which hosts are told apart. @throws ParleyError unavailable */
export const awaitHostStores = async (frame: Frame, signal: AbortSignal): Promise<CqlStores> => {
  const unlock = (await openWhenFree(join(frame.config.data, 'level'))).hold()
  try {
    const stores = await awaitCql(frame, signal)
    const close = async (): Promise<void> => {
      await stores.close()
      await unlock()
    }
    return { ...stores, close }
  } catch (error) {
    await unlock()
    throw error
  }
}

/** @throws ParleyError unavailable, with what to do in words, for what waiting does not mend */
export const awaitDirectory = (
  { config, log, waiting }: Frame,
  signal: AbortSignal,
): Promise<DirectoryStore> => {
  waiting('it opens the directory; why it takes long is in the log (directory.awaited)')
  const onFailure = (err: Error) => log.error({ err }, 'directory.failed')
  const attempt = {
    open: () => openDirectory(config, log, { onFailure, signal }),
    close: (directory: DirectoryStore) => directory.close(),
    mends: (error: { readonly retryAfterMs: number }) => error.retryAfterMs > 0,
  }
  return untilThere(attempt, { event: 'directory.awaited', log, waiting }, signal)
}
