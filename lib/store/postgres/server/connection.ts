/**
 * One connection to PostgreSQL, for one piece of work at a time. Owns a client of the driver that has one socket and
 * never another.
 *
 * Invariants: what was asked of it runs on the session that it was opened with, or not at all. The driver by itself
 * would go on with a statement of a broken transaction on a new connection, outside of any transaction; and it ends the
 * process with a TypeError when it writes to a socket that is gone. A new connection is a new client instead.
 */
import type { Socket } from 'node:net'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import type { ParleyError } from '../../../errors.ts'
import type { Database } from '../database.ts'
import type { Address } from './address.ts'
import { dial, type Tls } from './dial.ts'

export type ConnectionOptions = {
  readonly address: Address
  readonly tls: Tls
  /** What it is called in pg_stat_activity. */
  readonly name: string
  /** Settings of the session, as postgresql.conf takes them. */
  readonly session: Readonly<Record<string, string>>
}

const END_S = 1

export class Connection {
  readonly db: Database
  /** As performance.now() counts. */
  readonly born = performance.now()
  readonly #client: postgres.Sql
  readonly #socket: Socket
  #open = true
  #reason: ParleyError | undefined
  /** Called once, when it is closed by either side. */
  onClose: (() => void) | undefined

  private constructor(socket: Socket, { address, name, session }: ConnectionOptions) {
    this.#socket = socket
    let given = false
    const options = {
      host: address.host,
      port: address.port,
      user: address.user,
      database: address.database,
      // A function, since the driver takes an empty password from the environment.
      password: () => address.password,
      ssl: false,
      max: 1,
      max_lifetime: null,
      idle_timeout: 0,
      connect_timeout: 0,
      fetch_types: false,
      connection: { application_name: name, ...session },
      onnotice: () => {},
      onclose: () => this.#closed(),
      socket: () => {
        if (given) throw Object.assign(new Error('the connection ended'), { code: 'EPIPE' })
        given = true
        return socket
      },
    } as const
    this.#client = postgres(options as unknown as postgres.Options<Record<string, never>>)
    this.db = drizzle({ client: this.#client })
  }

  /** @throws what went wrong in the words of the driver (problems.ts), or the signal's reason */
  static async open(options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
    const socket = await dial(options.address, options.tls, signal)
    const connection = new Connection(socket, options)
    const give = () => connection.#end()
    signal.addEventListener('abort', give, { once: true })
    try {
      signal.throwIfAborted()
      await connection.#client.unsafe('select 1')
      return connection
    } catch (error) {
      connection.#end()
      throw signal.aborted ? signal.reason : error
    } finally {
      signal.removeEventListener('abort', give)
    }
  }

  get isOpen(): boolean {
    return this.#open
  }

  /** What the server has sent so far: a sign of life when it grows. */
  get bytesRead(): number {
    return this.#socket.bytesRead
  }

  /** Why we ended it, when we did. */
  get reason(): ParleyError | undefined {
    return this.#reason
  }

  /** Ends it now: what runs on it fails, and the server rolls it back. */
  destroy(reason: ParleyError): void {
    if (!this.#open) return
    this.#reason = reason
    this.#end()
  }

  /** Ends it now, since it is of no use any more. */
  drop(): void {
    this.#end()
  }

  /** When nothing runs on it. */
  async close(): Promise<void> {
    if (this.#open) await this.#client.end({ timeout: END_S })
    this.#end()
  }

  #end(): void {
    this.#socket.destroy()
    this.#closed()
  }

  #closed(): void {
    if (!this.#open) return
    this.#open = false
    this.onClose?.()
  }
}
