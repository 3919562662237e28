/**
 * One projection following one log stream, for as long as this process holds its lease.
 *
 * Owns: the way from the stream to the store. Never does: decide what a record means.
 * I1. The store's own floor says where to read on, after a start and after every failure of the stream.
 * I2. The floor passes a record only when its rows are stored or the record is set aside.
 * I3. One portion of records is in work at a time; the source holds back the next.
 * I4. Nothing is read before the published floor is claimed under the epoch of the lease; refused as `moved`, it ends.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { RecordSource, StreamRecord } from '../bus/record-source.ts'
import type { Clock } from '../clock.ts'
import { ParleyError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { CounterSeries, HistogramSeries } from '../metrics.ts'
import type { AsideRecords } from './aside-records.ts'
import { Settling } from './floors.ts'
import type { Projection } from './projection.ts'
import type { PublishedFloor } from './published-floor.ts'
import { Storing } from './storing.ts'

export type FollowerOptions<Row> = {
  readonly projection: Projection<Row>
  /** k of LOG_k. */
  readonly stream: number
  readonly source: RecordSource
  readonly published: PublishedFloor
  readonly aside: AsideRecords<Row>
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
  /** Told of this stream's part of the gauge. */
  readonly lag: (records: number) => void
}

const WAIT_MS = 1_000
const PUBLISH_MS = 1_000
const LAG_MS = 5_000
/** Records that are written at once without waiting for more, and how long fewer wait. */
const FULL = 256
const PACE_MS = 50

export class Follower<Row> {
  readonly #options: FollowerOptions<Row>
  readonly #storing: Storing<Row>
  readonly #settling: Settling
  #reviewed = false
  #floor = 0
  /** Told of as missing up to here. */
  #missedTo = 0
  #publishAt = 0
  #lagAt = 0
  #telling: Promise<void> | undefined

  constructor(options: FollowerOptions<Row>) {
    this.#options = options
    this.#settling = new Settling(options.settleMs)
    const { projection, stream, aside } = options
    this.#storing = new Storing({
      projection,
      stream,
      putAside: (record, error) => aside.put(record, error),
      onRetry: (error) => this.#retry(error),
    })
  }

  /** Follows until `stop` aborts, then what is in work is finished; or until another holder has the stream. */
  async run(stop: AbortSignal): Promise<void> {
    const { source, log } = this.#options
    let ours = true
    while (ours && !stop.aborted) {
      try {
        await this.#open()
        while (!stop.aborted) await this.#step(stop)
      } catch (error) {
        ours = !isMoved(error)
        this.#retry(error)
        if (ours) await this.#storing.pause(stop)
      }
    }
    await this.#telling
    if (ours) {
      this.#publishAt = 0
      this.#tell()
      await this.#telling
    } else log.warn({ floor: this.#floor }, 'projection.fenced')
    source.close()
  }

  async #open(): Promise<void> {
    const { projection, stream, source, published, aside, log, counts } = this.#options
    this.#floor = await projection.floor(stream)
    await published.claim(this.#floor)
    const { first, last } = await source.open(this.#floor + 1)
    const have = Math.max(this.#floor, this.#missedTo)
    if (first > have + 1) {
      counts.missing.inc(first - 1 - have)
      log.error({ from: have + 1, to: first - 1 }, 'projection.records_missing')
      this.#missedTo = first - 1
    }
    if (!this.#reviewed) counts.rows.inc(await aside.review())
    this.#reviewed = true
    log.info({ floor: this.#floor, last }, 'projection.following')
  }

  async #step(stop: AbortSignal): Promise<void> {
    const { source } = this.#options
    const records = await source.next(WAIT_MS, stop)
    if (records.length > 0) {
      await this.#store(records, stop)
      source.ack()
      // Readers see what is not stored yet (their room's host merges it), so a few larger writes beat many small ones.
      if (records.length < Math.min(FULL, source.portion))
        await delay(PACE_MS, undefined, { signal: stop }).catch(() => undefined)
    }
    this.#tell()
  }

  async #store(records: readonly StreamRecord[], stop: AbortSignal): Promise<void> {
    const { counts, clock } = this.#options
    const from = clock.monotonic()
    const rows = await this.#storing.follow(records, stop)
    counts.writes.observe((clock.monotonic() - from) / 1000)
    counts.records.inc(records.length)
    counts.rows.inc(rows)
    this.#floor = records.at(-1)!.position
  }

  #retry(err: unknown): void {
    this.#options.log.warn({ err, floor: this.#floor }, 'projection.retried')
    this.#options.counts.retries.inc()
    this.#tell()
  }

  /** Publishes floor and lag when it is time to, beside the work: a slow KV must not slow the projection. */
  #tell(): void {
    const { published, clock } = this.#options
    const now = clock.monotonic()
    const settled = this.#settling.settled(this.#floor, now)
    if (this.#telling !== undefined) return
    const floor = settled > published.position && now >= this.#publishAt ? settled : undefined
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
    const { source, published, log } = this.#options
    try {
      if (floor !== undefined) await published.raise(floor)
      if (lag) this.#options.lag(await source.pending())
    } catch (err) {
      log.warn({ err }, 'projection.unpublished')
    }
  }
}

export const isMoved = (error: unknown): boolean =>
  error instanceof ParleyError && error.code === 'moved'
