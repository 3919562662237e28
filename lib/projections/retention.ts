/**
 * Retention: goes through the rooms of the history, again and again, and drops events that are older than it shall keep.
 *
 * Owns: the place in a pass (KV `checkpoints`, key `retention.history`). Never does: decide for a single room otherwise.
 * I1. The age of an event is that of its own time, which never falls within a room (contracts W4). A room in which an
 *     event can't be read is left as it is.
 * I2. One room at a time, at most STEP events a drop, a pause after PORTION rooms: whatever else uses the store waits
 *     for little.
 * I3. The place is stored after each portion, by CAS: a pass goes on after a restart where it was, and of two processes
 *     on one store one yields. Dropping again does no harm.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Bucket } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import type { Clock } from '../clock.ts'
import type { RoomId } from '../ids.ts'
import type { Log } from '../log.ts'
import type { CounterSeries } from '../metrics.ts'
import { readEvent } from '../protocol/hot.ts'
import { BadFrame, Reader } from '../protocol/reader.ts'
import type { Service } from '../service.ts'
import type { HistoryRow, HistoryStore, Span } from '../store/history/history.ts'

export type RetentionOptions = {
  readonly history: Pick<HistoryStore, 'page' | 'kept' | 'drop' | 'spans'>
  /** KV `checkpoints`. */
  readonly checkpoints: Bucket
  /** Events live this long, ms. */
  readonly keepMs: number
  readonly clock: Clock
  readonly log: Log
  /** Counts events. */
  readonly dropped: CounterSeries
  /** From the end of a pass to the next (by itself 1/24 of `keepMs`, within an hour and a day), and after a failure, ms. */
  readonly everyMs?: number
  readonly retryMs?: number
  /** After each portion, ms. */
  readonly pauseMs?: number
}

/** Holds a `Place` as JSON. */
export const RETENTION_KEY = 'retention.history'
/** The last room that was looked at, null between passes; and when the last whole pass ended, ms since 1970. */
type Place = { readonly after: RoomId | null; readonly ended: number }

const HOUR_MS = 3_600_000
const RETRY_MS = 10_000
const PAUSE_MS = 20
/** Rooms. */
const PORTION = 100
/** Events. */
const STEP = 50_000
/** Rows of one look for an event when the one that was asked for is missing. */
const LOOK = 64

export type Passed = { readonly rooms: number; readonly dropped: number; readonly whole: boolean }

/** Goes on with the pass that was begun, or begins one; `whole` says that it came to its end. @throws ParleyError */
export const passRetention = async (
  options: RetentionOptions,
  stop: AbortSignal,
): Promise<Passed> => {
  const { history, checkpoints, clock, keepMs, pauseMs = PAUSE_MS, log } = options
  const before = clock.now() - keepMs
  const entry = await checkpoints.get(RETENTION_KEY)
  let revision = entry?.revision ?? 0
  let place = placeOf(entry?.value)
  let rooms = 0
  let dropped = 0
  const store = async (next: Place): Promise<boolean> => {
    const stored = await checkpoints.cas(RETENTION_KEY, toJson(next), revision)
    if (stored === undefined) return false
    revision = stored
    place = next
    return true
  }
  while (!stop.aborted) {
    const spans = await history.spans(place.after ?? undefined, PORTION)
    for (const span of spans) {
      if (stop.aborted) break
      try {
        dropped += await expire(options, span, before, stop)
      } catch (err) {
        if (!(err instanceof BadFrame)) throw err
        log.error({ err, room: span.room }, 'retention.unreadable')
      }
      rooms++
    }
    if (stop.aborted) break
    const last = spans.at(-1)
    if (last === undefined) {
      const whole = await store({ after: null, ended: clock.now() })
      return { rooms, dropped, whole }
    }
    // Another process is at it: what it has done needs not be done twice.
    if (!(await store({ after: last.room, ended: place.ended }))) break
    await delay(pauseMs, undefined, { signal: stop }).catch(() => undefined)
  }
  return { rooms, dropped, whole: false }
}

const placeOf = (value: Uint8Array | undefined): Place =>
  value === undefined ? { after: null, ended: 0 } : fromJson<Place>(value)

/** Drops what is older than `before`, and what an earlier drop left behind; answers how many events. */
const expire = async (
  { history, dropped }: RetentionOptions,
  { room, first, last }: Span,
  before: number,
  stop: AbortSignal,
): Promise<number> => {
  const kept = await history.kept(room)
  const from = Math.max(first, kept)
  const floor = from > last ? kept : await youngFrom(history, { room, first: from, last }, before)
  let done = first
  while (done < floor && !stop.aborted) {
    const below = Math.min(floor, Math.max(kept, done + STEP))
    await history.drop(room, below)
    dropped.inc(below - done)
    done = below
  }
  return done - first
}

/** The first sequence in `span` below which every stored event is older than `before`, found by halving. */
const youngFrom = async (
  history: Pick<HistoryStore, 'page'>,
  { room, first, last }: Span,
  before: number,
): Promise<number> => {
  let low = first
  let high = last + 1
  for (let at = first; low < high; at = low + Math.floor((high - low) / 2)) {
    const row = await nextRow(history, room, at, high - 1)
    if (row !== undefined && timeOf(row) < before) low = row.seq + 1
    else high = at
  }
  return low
}

/** The first event from `at` to `last` that is there. */
const nextRow = async (
  history: Pick<HistoryStore, 'page'>,
  room: RoomId,
  at: number,
  last: number,
): Promise<HistoryRow | undefined> => {
  for (let from = at, size = 1; from <= last; from += size, size = LOOK) {
    const [row] = await history.page(room, from, Math.min(from + size - 1, last))
    if (row !== undefined) return row
  }
  return undefined
}

const timeOf = ({ frame }: HistoryRow): number => readEvent(new Reader(frame)).time

/** Passes one after the other, `everyMs` apart. Draining ends the one that is under way; the next start goes on. */
export const retention = (options: RetentionOptions): Service => {
  const { checkpoints, clock, log, keepMs, retryMs = RETRY_MS } = options
  const { everyMs = Math.min(24 * HOUR_MS, Math.max(HOUR_MS, keepMs / 24)) } = options
  const stop = new AbortController()
  const { signal } = stop
  let running: Promise<void> = Promise.resolve()

  /** ms until the next pass is due; 0 while one is unfinished. */
  const due = async (): Promise<number> => {
    const { after, ended } = placeOf((await checkpoints.get(RETENTION_KEY))?.value)
    if (after !== null) return 0
    return Math.min(everyMs, Math.max(0, ended + everyMs - clock.now()))
  }

  const once = async (): Promise<number> => {
    try {
      const wait = await due()
      if (wait > 0) return wait
      const { whole, rooms, dropped } = await passRetention(options, signal)
      if (rooms > 0) log.info({ rooms, dropped, whole }, 'retention.passed')
      return whole ? everyMs : retryMs
    } catch (err) {
      log.warn({ err }, 'retention.failed')
      return retryMs
    }
  }

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      const wait = await once()
      await delay(wait, undefined, { signal }).catch(() => undefined)
    }
  }

  return {
    name: 'retention',
    start: async () => {
      running = run()
    },
    drain: async () => {
      stop.abort()
      await running
    },
  }
}
