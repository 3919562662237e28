/** The directory on a PostgreSQL server. */
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { ParleyError } from '../../../errors.ts'
import type { Log } from '../../../log.ts'
import {
  DIRECTORY_LIMITS,
  type DirectoryLimits,
  type DirectoryStore,
} from '../../directory/directory.ts'
import { MIGRATIONS, postgresDirectory } from '../postgres-directory.ts'
import { type Address, addressText, isLocal, parseAddress } from './address.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import type { Tls } from './dial.ts'
import { migrateServer } from './migrate.ts'
import { Pool } from './pool.ts'
import { problemOf } from './problems.ts'
import { serverDatabase } from './server-database.ts'

export const TLS_MODES = ['auto', 'off', 'require', 'verify'] as const

export type PostgresSettings = {
  /** `postgresql://user:password@host:5432/database` */
  readonly url: string
  /** A file with the password, when the URL has none; empty: none. */
  readonly passwordFile?: string
  /** `auto`: `off` for this machine, `verify` for others. */
  readonly tls?: (typeof TLS_MODES)[number]
  /** A PEM file; empty: the authorities of Node. */
  readonly tlsCa?: string
  /** Most connections that do work; one more looks whether the server is there. */
  readonly pool?: number
  /** In pg_stat_activity. */
  readonly name?: string
  readonly limits?: DirectoryLimits
  readonly log: Pick<Log, 'warn' | 'info'>
  /** How long to wait for a server that is not there yet, ms. */
  readonly openMs?: number
  /** Gives up. */
  readonly signal?: AbortSignal
  /** Those of the schema, unless a test brings others. */
  readonly migrations?: URL
}

const OPEN_MS = 60_000
const AGAIN_MS = { first: 100, most: 2_000 }
const POOL = 10

/** What the server itself ends. A lock is waited for within a statement, and both within what a call may take. */
const SESSION = {
  statement_timeout: '4000',
  lock_timeout: '2000',
  idle_in_transaction_session_timeout: '10000',
}

const tlsOf = async (settings: PostgresSettings, address: Address): Promise<Tls> => {
  const { tls = 'auto', tlsCa = '' } = settings
  const mode = tls !== 'auto' ? tls : isLocal(address) ? 'off' : 'verify'
  if (mode !== 'verify') return { mode }
  return { mode, ca: tlsCa === '' ? undefined : await readFile(tlsCa, 'utf8') }
}

const optionsOf = async (settings: PostgresSettings): Promise<ConnectionOptions> => {
  const { url, passwordFile = '', name = 'parley' } = settings
  const password = passwordFile === '' ? '' : (await readFile(passwordFile, 'utf8')).trimEnd()
  const address = parseAddress(url, password)
  return { address, tls: await tlsOf(settings, address), name, session: SESSION }
}

const withMigrations = async (
  options: ConnectionOptions,
  migrations: URL,
  signal: AbortSignal,
): Promise<void> => {
  const connection = await Connection.open(options, signal)
  const give = () =>
    connection.destroy(new ParleyError('unavailable', { detail: 'the schema takes too long' }))
  signal.addEventListener('abort', give, { once: true })
  try {
    await migrateServer(connection, migrations)
  } catch (error) {
    throw connection.reason ?? error
  } finally {
    signal.removeEventListener('abort', give)
    await connection.close()
  }
}

/**
 * Waits for the server, brings the schema up to date, and opens the pool.
 * @throws ParleyError `unavailable`, with what to do in words: at once for what waiting does not mend (password,
 * database, rights, certificate), after `openMs` for a server that is not there; Error for a URL that is none
 */
export const openPostgresDirectory = async (
  settings: PostgresSettings,
): Promise<DirectoryStore> => {
  const { limits = DIRECTORY_LIMITS, log, pool: size = POOL, migrations = MIGRATIONS } = settings
  const options = await optionsOf(settings)
  const { address } = options
  const until = performance.now() + (settings.openMs ?? OPEN_MS)
  const never = new AbortController().signal
  for (let pause = AGAIN_MS.first; ; pause = Math.min(pause * 2, AGAIN_MS.most)) {
    const left = Math.max(Math.ceil(until - performance.now()), 1)
    const signal = AbortSignal.any([AbortSignal.timeout(left), settings.signal ?? never])
    try {
      await withMigrations(options, migrations, signal)
      break
    } catch (error) {
      if (settings.signal?.aborted === true) throw error
      const late = Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })
      const problem = problemOf(signal.aborted ? late : error, address)
      const waits = problem.kind === 'lost' || problem.kind === 'busy'
      if (!waits || performance.now() + pause > until) throw problem.error
      log.warn({ err: problem.error, server: addressText(address) }, 'directory.awaited')
      await delay(pause, undefined, { signal }).catch(() => {})
    }
  }
  const problem = (error: unknown) => problemOf(error, address)
  const pool = new Pool({ size, open: (signal) => Connection.open(options, signal), problem, log })
  return postgresDirectory({ db: serverDatabase(pool, problem), limits }, () => pool.close())
}
