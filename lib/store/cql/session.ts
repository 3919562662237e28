/**
 * What the CQL stores say to the cluster, and for how long they wait.
 *
 * S1. Every operation ends within DEADLINE_MS of its beginning, with `unavailable` at the latest; what the driver still does
 *     then does no harm, since every statement may come late or twice (USING TIMESTAMP).
 * S2. At most so many are under way; a full line refuses.
 * S3. Reads may be asked of two nodes at once, writes never.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, errors, types } from 'cassandra-driver'
import { ParleyError } from '../../errors.ts'
import { countHolds } from '../holds.ts'
import { closeClient, readingClient, writingClient } from './driver.ts'
import { Lanes } from './lanes.ts'
import type { CqlOptions } from './options.ts'

const DEADLINE_MS = 2000
const TRIES = 30
const AGAIN_MS = 50
const READS = 256
const READS_WAITING = 8192
const WRITES = 128
const WRITES_WAITING = 65_536

export type Statement = { readonly query: string; readonly params: readonly unknown[] }
export type Row = types.Row

export type CqlSession = {
  readonly keyspace: string
  /** The rows of one statement; `more` when the server ended before its LIMIT. */
  read(query: string, params: readonly unknown[]): Promise<{ rows: Row[]; more: boolean }>
  write(query: string, params: readonly unknown[]): Promise<void>
  /** All of one partition: atomic, in one round trip. */
  batch(statements: readonly Statement[]): Promise<void>
  /** The client that changes the schema. */
  readonly admin: Client
  /** Takes a hold; the returned function gives it back. With the last one the connections close. */
  hold(): () => Promise<void>
}

const { responseErrorCodes } = types
const BUGS: readonly number[] = [
  responseErrorCodes.syntaxError,
  responseErrorCodes.unauthorized,
  responseErrorCodes.invalid,
  responseErrorCodes.configError,
]

/** The first reason that a node gave. */
const reasonOf = (error: unknown): string => {
  if (error instanceof errors.NoHostAvailableError) {
    const [first] = Object.values<unknown>(error.innerErrors ?? {})
    return first instanceof Error ? `${error.message} ${first.message}` : error.message
  }
  return error instanceof Error ? error.message : String(error)
}

export const failureOf = (cause: unknown): ParleyError => {
  if (cause instanceof ParleyError) return cause
  const bug = cause instanceof errors.ResponseError && BUGS.includes(cause.code)
  return new ParleyError(bug ? 'internal' : 'unavailable', {
    detail: `the CQL store ${bug ? 'refuses' : 'does not answer'}: ${reasonOf(cause)}`,
    cause,
  })
}

const CLOSED = new ParleyError('unavailable', { detail: 'the CQL store is closed' })

/** `operation`, or `unavailable` after DEADLINE_MS. */
const inTime = <T>(operation: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new ParleyError('unavailable', { detail: 'the CQL store does not answer' })),
      DEADLINE_MS,
    )
    operation
      .then(resolve, (error: unknown) => reject(failureOf(error)))
      .finally(() => {
        clearTimeout(timer)
      })
  })

/**
 * A node that has just gone, or come, has no connection for a moment in which it counts as up. The driver then gives up at
 * once, for a statement that was never prepared even if another node is there; it has no error of its own for that.
 */
const isPassing = (error: unknown): boolean => {
  if (error instanceof Error && 'isSocketError' in error && error.isSocketError === true)
    return true
  if (!(error instanceof errors.NoHostAvailableError)) return !(error instanceof errors.DriverError)
  const reasons = Object.values<unknown>(error.innerErrors ?? {})
  return reasons.some((reason) => reason instanceof Error && isPassing(reason))
}

const again = async <T>(operation: () => Promise<T>): Promise<T> => {
  for (let tries = 1; ; tries++) {
    try {
      return await operation()
    } catch (error) {
      if (!isPassing(error) || tries === TRIES) throw error
      await delay(AGAIN_MS)
    }
  }
}

/** Connects both clients. @throws the driver's error; nothing is left open then */
export const connectCql = async (options: CqlOptions): Promise<CqlSession> => {
  const writer = writingClient(options)
  const reader = readingClient(options)
  const shutdown = async (): Promise<void> => {
    await Promise.all([closeClient(writer), closeClient(reader)])
  }
  for (const event of ['hostUp', 'hostDown'] as const) {
    writer.on(event, (host: { address: string }) =>
      options.log.warn(
        { node: host.address },
        event === 'hostUp' ? 'cql.node_up' : 'cql.node_down',
      ),
    )
  }
  try {
    await Promise.all([writer.connect(), reader.connect()])
  } catch (error) {
    await shutdown().catch(() => undefined)
    throw error
  }

  const reads = new Lanes(READS, READS_WAITING)
  const writes = new Lanes(WRITES, WRITES_WAITING)
  let open = true
  const checked = async <T>(lanes: Lanes, operation: () => Promise<T>): Promise<T> => {
    if (!open) throw CLOSED
    return inTime(lanes.run(() => again(operation)))
  }
  return {
    keyspace: options.keyspace,
    admin: writer,
    read: (query, params) =>
      checked(reads, async () => {
        const { rows, pageState } = await reader.execute(query, [...params])
        return { rows, more: pageState !== null && pageState !== undefined }
      }),
    write: (query, params) =>
      checked(writes, async () => {
        await writer.execute(query, [...params])
      }),
    batch: (statements) =>
      checked(writes, async () => {
        const queries = statements.map(({ query, params }) => ({ query, params: [...params] }))
        await writer.batch(queries, { logged: false })
      }),
    hold: countHolds(() => {
      open = false
      return shutdown()
    }),
  }
}

/** A bigint column as a number; 0 where there is none. Parley stores none above 2^53. */
export const numberOf = (value: unknown): number =>
  value instanceof types.Long ? value.toNumber() : 0
