/**
 * The way of a portion of records into the store, for whoever reads them: a follower, or a rebuild.
 *
 * I1. A store that is away is waited for, here; it returns when everything is stored or set aside.
 * I2. A record that can't be read or stored is set aside before the position passes it, and holds up no other.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { StreamRecord } from '../bus/record-source.ts'
import { type ErrorCode, ParleyError } from '../errors.ts'
import type { Projection } from './projection.ts'

export type StoringOptions<Row> = {
  readonly projection: Projection<Row>
  readonly stream: number
  /** Rejects when it could not be kept. */
  readonly putAside: (record: StreamRecord, error: unknown) => Promise<void>
  /** Told of each failure that is waited out. */
  readonly onRetry: (error: unknown) => void
}

const BACKOFF_MIN_MS = 100
const BACKOFF_MAX_MS = 5_000

/** Refusals that are the fault of what was to be stored: repeating them would stop the projection for ever. */
const CONTENT: ReadonlySet<ErrorCode> = new Set(['bad_request', 'too_large'])

export class Storing<Row> {
  readonly #options: StoringOptions<Row>
  #backoffMs = BACKOFF_MIN_MS

  constructor(options: StoringOptions<Row>) {
    this.#options = options
  }

  /** With the floor, when it is given: everything up to the last of these. Answers how many rows they had. */
  async follow(records: readonly StreamRecord[], stop: AbortSignal): Promise<number> {
    const position = records.at(-1)!.position
    return this.#store(records, await this.#rowsOf(records), position, stop)
  }

  /** Without the floor, and without what the store keeps no longer. */
  async again(records: readonly StreamRecord[], stop: AbortSignal): Promise<number> {
    const rows = await this.#rowsOf(records)
    const kept = await this.#retried(() => this.#options.projection.kept(rows), stop)
    if (kept.length === 0) return 0
    return this.#store(records, kept, 0, stop)
  }

  async #store(
    records: readonly StreamRecord[],
    rows: readonly Row[],
    position: number,
    stop: AbortSignal,
  ): Promise<number> {
    try {
      await this.#write(rows, position, stop)
    } catch (error) {
      if (!isContent(error)) throw error
      await this.#oneByOne(records, position === 0, stop)
    }
    this.#backoffMs = BACKOFF_MIN_MS
    return rows.length
  }

  async #oneByOne(
    records: readonly StreamRecord[],
    again: boolean,
    stop: AbortSignal,
  ): Promise<void> {
    const { projection } = this.#options
    for (const record of records) {
      const position = again ? 0 : record.position
      try {
        const rows = await this.#rowsOf([record])
        await this.#write(again ? await projection.kept(rows) : rows, position, stop)
      } catch (error) {
        if (!isContent(error)) throw error
        await this.#options.putAside(record, error)
        await this.#write([], position, stop)
      }
    }
  }

  #write(rows: readonly Row[], position: number, stop: AbortSignal): Promise<void> {
    const { projection, stream } = this.#options
    return this.#retried(() => projection.write(rows, stream, position), stop)
  }

  /** A store that is away is waited for here, so that the stream need not deliver again. */
  async #retried<T>(work: () => Promise<T>, stop: AbortSignal): Promise<T> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (isContent(error) || stop.aborted) throw error
        this.#options.onRetry(error)
        await this.pause(stop)
      }
    }
  }

  /** After a failure; longer after each until something is stored. */
  async pause(stop: AbortSignal): Promise<void> {
    await delay(this.#backoffMs, undefined, { signal: stop }).catch(() => undefined)
    this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MAX_MS)
  }

  async #rowsOf(records: readonly StreamRecord[]): Promise<Row[]> {
    const { projection } = this.#options
    const rows: Row[] = []
    for (const record of records) {
      try {
        for (const row of projection.read(record)) rows.push(row)
      } catch (error) {
        await this.#options.putAside(record, error)
      }
    }
    return rows
  }
}

const isContent = (error: unknown): boolean =>
  error instanceof ParleyError && CONTENT.has(error.code)
