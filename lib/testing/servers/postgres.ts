/**
 * A PostgreSQL of a test's own: temporary directory, free port of loopback, password, no privileges. It ends with its
 * scope or its test, and with the process at the latest; it signals only processes that it started itself.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { chmod, chown, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { isAlive } from '../../../nats/orphan.ts'
import { eventually } from '../eventually.ts'
import { freePort } from '../ports.ts'
import { findPostgres, unprivileged } from './postgres-binaries.ts'
import { processTree, signalAll } from './process-tree.ts'

interface Test {
  teardown(end: () => Promise<void>): void
}

export type PostgresOptions = {
  /** True: every commit waits for the disk. A kill of the processes loses nothing either way. */
  readonly fsync?: boolean
  /** PEM files: it offers TLS then. */
  readonly tls?: { readonly key: string; readonly cert: string }
  /** More of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
  readonly bin?: string
}

const HOST = '127.0.0.1'
/** An owner of everything, as initdb makes it. */
const USER = 'parley'
const PASSWORD = 'only for tests'
const INIT_MS = 120_000
const START_MS = 60_000
const STOP_MS = 20_000
const LOG_TAIL = 2_000

const living = new Set<PostgresServer>()
let hooked = false

/** A test runner ends a file that takes too long with SIGTERM, which by itself would leave the servers behind. */
const endWithProcess = (): void => {
  if (hooked) return
  hooked = true
  process.once('exit', () => {
    for (const server of living) server.abandon()
  })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(1))
  }
}

export class PostgresServer {
  readonly directory: string
  readonly port: number
  readonly #bin: string
  readonly #settings: readonly string[]
  readonly #spawn: { readonly cwd: string; readonly uid?: number; readonly gid?: number }
  #child: ChildProcess | undefined
  #gone: Promise<unknown> = Promise.resolve()
  #databases = 0

  private constructor(directory: string, port: number, bin: string, options: PostgresOptions) {
    this.directory = directory
    this.port = port
    this.#bin = bin
    // root's own working directory may be closed to others.
    this.#spawn = { cwd: directory, ...unprivileged() }
    const { fsync = false, tls, settings = {} } = options
    const all: Record<string, string> = {
      port: String(port),
      listen_addresses: HOST,
      unix_socket_directories: '',
      fsync: fsync ? 'on' : 'off',
      full_page_writes: fsync ? 'on' : 'off',
      ...(tls === undefined
        ? {}
        : { ssl: 'on', ssl_key_file: 'key.pem', ssl_cert_file: 'cert.pem' }),
      ...settings,
    }
    this.#settings = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  }

  static async make(options: PostgresOptions = {}): Promise<PostgresServer> {
    endWithProcess()
    const bin = options.bin ?? findPostgres()
    const directory = await mkdtemp(join(tmpdir(), 'parley-postgres-'))
    try {
      const server = new PostgresServer(directory, await freePort(), bin, options)
      living.add(server)
      await server.#init(options.tls)
      await server.start()
      return server
    } catch (error) {
      for (const server of living) if (server.directory === directory) server.abandon()
      await rm(directory, { recursive: true, force: true })
      throw error
    }
  }

  /** With the owner of everything, unless another is named. */
  url({
    user = USER,
    password = PASSWORD,
    database = 'postgres',
  }: {
    readonly user?: string
    readonly password?: string
    readonly database?: string
  } = {}): string {
    const who = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
    return `postgresql://${who}@${HOST}:${this.port}/${encodeURIComponent(database)}`
  }

  /** The url of a new database with nothing in it. */
  async database(): Promise<string> {
    const database = `test_${++this.#databases}`
    await this.sql(`create database ${database}`)
    return this.url({ database })
  }

  /** Rows of statements that a test says to the server itself. */
  async sql(text: string, url = this.url()): Promise<Record<string, unknown>[]> {
    const client = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} })
    try {
      return [...(await client.unsafe(text))] as Record<string, unknown>[]
    } finally {
      await client.end({ timeout: 5 })
    }
  }

  /** Undefined while it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** On the same port, with what was stored. Resolves when it takes connections. */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error('this PostgreSQL runs already')
    const log = openSync(join(this.directory, 'log'), 'a')
    const child = spawn(join(this.#bin, 'postgres'), ['-D', this.#data, ...this.#settings], {
      ...this.#spawn,
      // Ctrl-C in a terminal is for the test, which ends its servers itself.
      detached: true,
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    this.#child = child
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#gone = promise
    const ended = () => {
      if (this.#child === child) this.#child = undefined
      resolve()
    }
    child.once('exit', ended)
    child.once('error', () => child.pid === undefined && ended())
    try {
      await eventually('PostgreSQL is ready', () => this.#child !== child || this.#isReady(), {
        within: START_MS,
      })
      if (this.#child !== child) throw new Error('PostgreSQL ended at once')
    } catch (error) {
      await this.kill()
      throw new Error(`${(error as Error).message}\n${this.log}`, { cause: error })
    }
  }

  /** As an operator does it: open transactions are rolled back, connections closed. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.resume()
    child.kill('SIGINT')
    const timer = setTimeout(() => void this.kill(), STOP_MS)
    await this.#gone
    clearTimeout(timer)
  }

  /** kill -9 of all its processes at once, as a crash of the machine would end them. */
  async kill(): Promise<void> {
    const pid = this.#child?.pid
    if (pid === undefined) return
    const all = processTree(pid)
    signalAll(all, 'SIGKILL')
    await this.#gone
    // Not before all are gone will another one start on the directory.
    await eventually('its processes are gone', () => !all.some(isAlive))
  }

  /** SIGSTOP: all connections stay, nothing answers. */
  pause(): void {
    if (this.#child?.pid !== undefined) signalAll(processTree(this.#child.pid), 'SIGSTOP')
  }

  resume(): void {
    if (this.#child?.pid !== undefined) signalAll(processTree(this.#child.pid), 'SIGCONT')
  }

  /** The end of what it logged. */
  get log(): string {
    try {
      return readFileSync(join(this.directory, 'log'), 'utf8').slice(-LOG_TAIL)
    } catch {
      return ''
    }
  }

  /** Stops it and removes what it stored. */
  async end(): Promise<void> {
    try {
      await this.stop()
    } finally {
      living.delete(this)
      await rm(this.directory, { recursive: true, force: true, maxRetries: 5 })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
  }

  /** What can still be done while the process exits. */
  abandon(): void {
    living.delete(this)
    if (this.#child?.pid !== undefined) signalAll(processTree(this.#child.pid), 'SIGKILL')
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  }

  get #data(): string {
    return join(this.directory, 'data')
  }

  async #init(tls: PostgresOptions['tls']): Promise<void> {
    const { uid, gid } = this.#spawn
    const own = async (path: string) => {
      if (uid !== undefined && gid !== undefined) await chown(path, uid, gid)
    }
    await own(this.directory)
    const password = join(this.directory, 'password')
    await writeFile(password, `${PASSWORD}\n`, { mode: 0o600 })
    await own(password)
    const args = ['-D', this.#data, '-U', USER, '--pwfile', password, '--auth', 'scram-sha-256']
    await promisify(execFile)(
      join(this.#bin, 'initdb'),
      [...args, '--encoding', 'UTF8', '--no-locale', '--no-sync', '--no-instructions'],
      { ...this.#spawn, timeout: INIT_MS },
    )
    for (const name of tls === undefined ? [] : (['key', 'cert'] as const)) {
      const path = join(this.#data, `${name}.pem`)
      await copyFile(tls![name], path)
      await chmod(path, 0o600)
      await own(path)
    }
  }

  /** It says so itself, in the last line of a file. */
  #isReady(): boolean {
    try {
      const lines = readFileSync(join(this.#data, 'postmaster.pid'), 'utf8').split('\n')
      return Number(lines[0]) === this.#child?.pid && lines[7]?.trim() === 'ready'
    } catch {
      return false
    }
  }
}

/** @example await using server = await startPostgres() */
export const startPostgres = async (
  t?: Test,
  options: PostgresOptions = {},
): Promise<PostgresServer> => {
  const server = await PostgresServer.make(options)
  t?.teardown(() => server.end())
  return server
}
