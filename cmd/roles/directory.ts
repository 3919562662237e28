/** Accounts and devices: on the PostgreSQL that the settings name, else on PGlite in the data directory. */
import { join } from 'node:path'
import type { Config } from '../../lib/config.ts'
import type { Log } from '../../lib/log.ts'
import { DIRECTORY_LIMITS, type DirectoryStore } from '../../lib/store/directory/directory.ts'
import { openPgliteDirectory } from '../../lib/store/postgres/pglite/pglite-directory.ts'
import { openPostgresDirectory } from '../../lib/store/postgres/server/open.ts'

type Watch = {
  /** The embedded one died; accounts are out of reach until the process starts again. A server comes back by itself. */
  readonly onFailure: (error: Error) => void
  /** Gives up waiting for a server that is not there yet. */
  readonly signal: AbortSignal
}

/** @throws ParleyError unavailable, with what to do in words */
export const openDirectory = (
  config: Config,
  log: Log,
  { onFailure, signal }: Watch,
): Promise<DirectoryStore> => {
  const limits = { ...DIRECTORY_LIMITS, maxDevices: config.devices }
  if (config.postgresUrl === '') {
    return openPgliteDirectory({ directory: join(config.data, 'directory'), limits, onFailure })
  }
  return openPostgresDirectory({
    url: config.postgresUrl,
    passwordFile: config.postgresPasswordFile,
    tls: config.postgresTls,
    tlsCa: config.postgresTlsCa,
    pool: config.postgresPool,
    limits,
    log,
    signal,
  })
}
