/**
 * One projection following one log stream.
 *
 * Owns: the way from the stream to the store. Never does: decide what a record means.
 * I1. The store's own floor says where to read on, after a start and after every failure of the stream.
 * I2. The floor passes a record only when its rows are stored or the record is set aside.
 * I3. One portion of records is in work at a time; the source holds back the next.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Bucket } from '../bus/bus.ts'
import type { RecordSource, StreamRecord } from '../bus/record-source.ts'
import type { Clock } from '../clock.ts'
import { type ErrorCode, ParleyError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { CounterSeries, HistogramSeries } from '../metrics.ts'
import { publishFloor, Settling } from './floors.ts'
import type { Projection } from './projection.ts'
import { type SetAside, setAside } from './set-aside.ts'

export type FollowerOptions<Row> = {
  readonly projection: Projection<Row>
  /** k of LOG_k. */
  readonly stream: number
  readonly source: RecordSource
  readonly checkpoints: Bucket
  readonly log: Log
  readonly clock: Clock
  /** How long the store may take to sync what it has acknowledged, ms; 0 when it syncs first. */
  readonly settleMs: number
  readonly counts: {
    readonly records: CounterSeries
    readonly rows: CounterSeries
    readonly retries: CounterSeries
    readonly missing: CounterSeries
    readonly writes: HistogramSeries
  }
  /** Told of this stream's part of the two gauges. */
  readonly gauges: { lag(records: number): void; aside(records: number): void }
}

const WAIT_MS = 1_000
const PUBLISH_MS = 1_000
const LAG_MS = 5_000
const BACKOFF_MIN_MS = 100
/** Records that are written at once without waiting for more, and how long fewer wait. */
const FULL = 256
const PACE_MS = 50
const BACKOFF_MAX_MS = 5_000

/** Refusals that are the fault of what was to be stored: repeating them would stop the projection for ever. */
const CONTENT: ReadonlySet<ErrorCode> = new Set(['bad_request', 'too_large'])

export class Follower<Row> {
  readonly #options: FollowerOptions<Row>
  readonly #aside: SetAside
  readonly #keptAside = new Set<number>()
  readonly #settling: Settling
  #reviewed = false
  #floor = 0
  /** Told of as missing up to here. */
  #missedTo = 0
  #published = 0
  #publishAt = 0
  #lagAt = 0
  #telling: Promise<void> | undefined
  #backoffMs = BACKOFF_MIN_MS

  constructor(options: FollowerOptions<Row>) {
    this.#options = options
    this.#settling = new Settling(options.settleMs)
    this.#aside = setAside(options.checkpoints, options.projection.name, options.stream)
  }

  /** Follows until `stop` aborts; then what is in work is finished. */
  async run(stop: AbortSignal): Promise<void> {
    const { source } = this.#options
    while (!stop.aborted) {
      try {
        await this.#open()
        while (!stop.aborted) await this.#step(stop)
      } catch (err) {
        await this.#retry(err, stop)
      }
    }
    await this.#telling
    this.#publishAt = 0
    this.#tell()
    await this.#telling
    source.close()
  }

  async #open(): Promise<void> {
    const { projection, stream, source, log, counts } = this.#options
    this.#floor = await projection.floor(stream)
    const { first, last } = await source.open(this.#floor + 1)
    const have = Math.max(this.#floor, this.#missedTo)
    if (first > have + 1) {
      counts.missing.inc(first - 1 - have)
      log.error({ from: have + 1, to: first - 1 }, 'projection.records_missing')
      this.#missedTo = first - 1
    }
    if (!this.#reviewed) await this.#review()
    this.#reviewed = true
    log.info({ floor: this.#floor, last }, 'projection.following')
  }

  async #step(stop: AbortSignal): Promise<void> {
    const { source } = this.#options
    const records = await source.next(WAIT_MS, stop)
    if (records.length > 0) {
      await this.#store(records, stop)
      source.ack()
      this.#backoffMs = BACKOFF_MIN_MS
      // Readers see what is not stored yet (their room's host merges it), so a few larger writes beat many small ones.
      if (records.length < Math.min(FULL, source.portion))
        await delay(PACE_MS, undefined, { signal: stop }).catch(() => undefined)
    }
    this.#tell()
  }

  async #store(records: readonly StreamRecord[], stop: AbortSignal): Promise<void> {
    const { counts, clock } = this.#options
    const rows = await this.#rowsOf(records)
    const position = records.at(-1)!.position
    const from = clock.monotonic()
    try {
      await this.#write(rows, position, stop)
    } catch (error) {
      if (!isContent(error)) throw error
      await this.#storeOneByOne(records, stop)
    }
    counts.writes.observe((clock.monotonic() - from) / 1000)
    counts.records.inc(records.length)
    counts.rows.inc(rows.length)
    this.#floor = position
  }

  async #storeOneByOne(records: readonly StreamRecord[], stop: AbortSignal): Promise<void> {
    for (const record of records) {
      try {
        await this.#write(await this.#rowsOf([record]), record.position, stop)
      } catch (error) {
        if (!isContent(error)) throw error
        await this.#putAside(record, error)
        await this.#write([], record.position, stop)
      }
    }
  }

  /** A store that is away is waited for here, so that the stream need not deliver again. */
  async #write(rows: readonly Row[], position: number, stop: AbortSignal): Promise<void> {
    const { projection, stream } = this.#options
    for (;;) {
      try {
        await projection.write(rows, stream, position)
        return
      } catch (error) {
        if (isContent(error) || stop.aborted) throw error
        await this.#retry(error, stop)
      }
    }
  }

  async #retry(err: unknown, stop: AbortSignal): Promise<void> {
    const { log, counts } = this.#options
    log.warn({ err, floor: this.#floor }, 'projection.retried')
    if (stop.aborted) return
    counts.retries.inc()
    this.#tell()
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
        await this.#putAside(record, error)
      }
    }
    return rows
  }

  async #putAside(record: StreamRecord, error: unknown): Promise<void> {
    const { log, gauges } = this.#options
    await this.#aside.put(record, error instanceof Error ? error.message : String(error))
    if (this.#keptAside.has(record.position)) return
    this.#keptAside.add(record.position)
    gauges.aside(this.#keptAside.size)
    const { position, subject } = record
    log.error(
      { position, subject, bytes: record.data.byteLength, err: error },
      'projection.set_aside',
    )
  }

  /** Takes up what an earlier run set aside. */
  async #review(): Promise<void> {
    const { projection, stream, gauges, log, counts } = this.#options
    this.#keptAside.clear()
    for (const record of await this.#aside.list()) {
      this.#keptAside.add(record.position)
      try {
        const rows = projection.read(record)
        await projection.write(rows, stream, 0) // below any floor: the floor stays
        counts.rows.inc(rows.length)
        log.info({ position: record.position, rows: rows.length }, 'projection.taken_up')
      } catch (err) {
        // Whatever it is, it stays aside until the next start.
        log.warn({ position: record.position, err }, 'projection.still_aside')
        continue
      }
      await this.#aside.remove(record.position)
      this.#keptAside.delete(record.position)
    }
    gauges.aside(this.#keptAside.size)
  }

  /** Publishes floor and lag when it is time to, beside the work: a slow KV must not slow the projection. */
  #tell(): void {
    const now = this.#options.clock.monotonic()
    const settled = this.#settling.settled(this.#floor, now)
    if (this.#telling !== undefined) return
    const floor = settled > this.#published && now >= this.#publishAt ? settled : undefined
    const lag = now >= this.#lagAt
    if (floor === undefined && !lag) return
    this.#publishAt = now + PUBLISH_MS
    if (lag) this.#lagAt = now + LAG_MS
    this.#telling = this.#publish(floor, lag).finally(() => {
      this.#telling = undefined
    })
  }

  /** Never rejects: trimming only waits longer when it fails. */
  async #publish(floor: number | undefined, lag: boolean): Promise<void> {
    const { projection, stream, source, checkpoints, log, gauges } = this.#options
    try {
      if (floor !== undefined) {
        await publishFloor(checkpoints, projection.name, stream, floor)
        this.#published = floor
      }
      if (lag) gauges.lag(await source.pending())
    } catch (err) {
      log.warn({ err }, 'projection.unpublished')
    }
  }
}

const isContent = (error: unknown): boolean =>
  error instanceof ParleyError && CONTENT.has(error.code)
