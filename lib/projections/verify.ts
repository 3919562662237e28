/**
 * Compares one log stream with the history: each event that the log still holds must be there with the same bytes, and
 * each room must be dense from its kept floor up to its head. Reads only; the cluster goes on meanwhile.
 *
 * I1. Only what was stored when it began is judged: what comes later is no difference.
 * I2. What retention drops meanwhile is below the room's floor, which is asked for after the rows.
 */
import type { RecordSource } from '../bus/record-source.ts'
import { ParleyError } from '../errors.ts'
import { partitionOf, type RoomId } from '../ids.ts'
import { eachEvent } from '../protocol/records.ts'
import type { HistoryRow, HistoryStore } from '../store/history/history.ts'

export type Difference = {
  readonly room: RoomId
  /** Both inclusive. */
  readonly first: number
  readonly last: number
  /**
   * `missing`: the log holds it, the history does not; `bytes`: it differs; `hole`: neither the history nor the log has
   * it; `unreadable`: a log record (`first` to `last` are its position, of no room) that can't be read.
   */
  readonly what: 'missing' | 'bytes' | 'hole' | 'unreadable'
}

export type Verified = { readonly records: number; readonly events: number; readonly rooms: number }

export type VerifyOptions = {
  readonly history: Pick<HistoryStore, 'page' | 'kept' | 'spans' | 'floor'>
  readonly stream: number
  readonly streams: number
  readonly partitions: number
  /** One of its own. */
  readonly source: RecordSource
  readonly onDifference: (difference: Difference) => void
  /** Called now and then: it is at work. */
  readonly onStep: () => void | Promise<void>
}

const WAIT_MS = 1_000
/** Records in a row that bring nothing before it counts as failed. */
const SILENCES = 30
/** Rooms of one look at the store, and events of one look at a room. */
const ROOMS = 200
const ROWS = 1_000

/** Heads as the log says, by room. */
type Heads = Map<RoomId, number>

/** @throws ParleyError unavailable */
export const verifyStream = async (
  options: VerifyOptions,
  stop: AbortSignal,
): Promise<Verified> => {
  const heads: Heads = new Map()
  const missing = new Missing(options.onDifference)
  const log = await compareLog(options, heads, missing, stop)
  missing.flush()
  const rooms = await checkRooms(options, heads, missing, stop)
  missing.flush()
  return { ...log, rooms }
}

/** Joins neighbours to one difference. What the log has shown to be missing is no hole as well. */
class Missing {
  readonly #sink: (difference: Difference) => void
  /** By room, what the log has shown to be missing: first and last, ascending. */
  readonly #told = new Map<RoomId, [number, number][]>()
  #open: { room: RoomId; first: number; last: number; what: Difference['what'] } | undefined

  constructor(sink: (difference: Difference) => void) {
    this.#sink = sink
  }

  add(room: RoomId, first: number, last: number, what: Difference['what']): void {
    const open = this.#open
    if (open?.room === room && open.what === what && first === open.last + 1) open.last = last
    else {
      this.flush()
      this.#open = { room, first, last, what }
    }
    if (what !== 'missing') return
    const told = this.#told.get(room) ?? []
    const newest = told.at(-1)
    if (newest?.[1] === first - 1) newest[1] = last
    else told.push([first, last])
    this.#told.set(room, told)
  }

  told(room: RoomId, seq: number): boolean {
    return this.#told.get(room)?.some(([first, last]) => seq >= first && seq <= last) ?? false
  }

  flush(): void {
    if (this.#open !== undefined) this.#sink(this.#open)
    this.#open = undefined
  }
}

const compareLog = async (
  { history, stream, source, onDifference, onStep }: VerifyOptions,
  heads: Heads,
  missing: Missing,
  stop: AbortSignal,
): Promise<{ records: number; events: number }> => {
  const until = await history.floor(stream)
  let records = 0
  let events = 0
  const { last } = await source.open(1)
  const end = Math.min(until, last)
  for (let at = 0, silences = 0; at < end; ) {
    stop.throwIfAborted()
    const portion = await source.next(WAIT_MS, stop)
    if (portion.length === 0) {
      if (++silences >= SILENCES) throw silent(`stream ${stream}`)
      await onStep()
      continue
    }
    silences = 0
    source.ack()
    at = portion.at(-1)!.position
    const byRoom = new Map<RoomId, HistoryRow[]>()
    for (const record of portion) {
      const { position } = record
      if (position > end) break
      records++
      try {
        eachEvent(record.data, (room, seq, frame) => {
          events++
          heads.set(room, Math.max(seq, heads.get(room) ?? 0))
          const rows = byRoom.get(room)
          if (rows === undefined) byRoom.set(room, [{ room, seq, frame }])
          else rows.push({ room, seq, frame })
        })
      } catch {
        const room = '' as RoomId
        onDifference({ room, first: position, last: position, what: 'unreadable' })
      }
    }
    for (const rows of byRoom.values()) await compareRoom(history, rows, missing)
    await onStep()
  }
  return { records, events }
}

/** `rows`: of one room, as the log has them. */
const compareRoom = async (
  history: VerifyOptions['history'],
  rows: readonly HistoryRow[],
  missing: Missing,
): Promise<void> => {
  const { room } = rows[0]!
  const seqs = rows.map(({ seq }) => seq)
  const found = new Map<number, Uint8Array>()
  for (const row of await history.page(room, Math.min(...seqs), Math.max(...seqs))) {
    found.set(row.seq, row.frame)
  }
  const kept = await history.kept(room)
  for (const { seq, frame } of rows) {
    if (seq < kept) continue
    const there = found.get(seq)
    if (there === undefined) missing.add(room, seq, seq, 'missing')
    else if (Buffer.compare(there, frame) !== 0) missing.add(room, seq, seq, 'bytes')
  }
}

const checkRooms = async (
  { history, stream, streams, partitions, source, onStep }: VerifyOptions,
  heads: Heads,
  missing: Missing,
  stop: AbortSignal,
): Promise<number> => {
  let rooms = 0
  let after: RoomId | undefined
  for (;;) {
    stop.throwIfAborted()
    const spans = await history.spans(after, ROOMS)
    if (spans.length === 0) break
    for (const { room, last } of spans) {
      after = room
      if (partitionOf(room, partitions) % streams !== stream) continue
      rooms++
      const head = heads.get(room)
      heads.delete(room)
      const holes = await holesOf(history, room, head ?? last)
      if (holes.length === 0) continue
      // Of a room whose older events the log has let go, the store may hold a part of what is being stored now.
      const below = head === undefined ? await storedLater(source, room, stop) : Infinity
      for (const seq of holes) {
        if (seq < below && !missing.told(room, seq)) missing.add(room, seq, seq, 'hole')
      }
    }
    await onStep()
  }
  // In the log alone. What was before it is missing too.
  for (const [room, head] of heads) {
    stop.throwIfAborted()
    rooms++
    for (const seq of await holesOf(history, room, head)) {
      if (!missing.told(room, seq)) missing.add(room, seq, seq, 'hole')
    }
  }
  return rooms
}

/** What is kept of a room up to `head`, and not there. */
const holesOf = async (
  history: VerifyOptions['history'],
  room: RoomId,
  head: number,
): Promise<number[]> => {
  const holes: number[] = []
  for (let from = await history.kept(room); from <= head; from += ROWS) {
    const last = Math.min(head, from + ROWS - 1)
    const found = new Set((await history.page(room, from, last)).map(({ seq }) => seq))
    if (found.size === last - from + 1) continue
    const kept = await history.kept(room)
    for (let seq = Math.max(from, kept); seq <= last; seq++) if (!found.has(seq)) holes.push(seq)
  }
  return holes
}

/** The lowest sequence of a room in what the log got since this began: that and what is above is no concern of ours. */
const storedLater = async (
  source: RecordSource,
  room: RoomId,
  stop: AbortSignal,
): Promise<number> => {
  const { last } = await source.open(1)
  let lowest = Number.POSITIVE_INFINITY
  for (let at = 0, silences = 0; at < last; ) {
    stop.throwIfAborted()
    const portion = await source.next(WAIT_MS, stop)
    if (portion.length === 0 && ++silences >= SILENCES) throw silent(room)
    source.ack()
    for (const { data, position } of portion) {
      at = position
      try {
        eachEvent(data, (its, seq) => {
          if (its === room) lowest = Math.min(lowest, seq)
        })
      } catch {
        // It is reported where the log is compared.
      }
    }
  }
  return lowest
}

const silent = (what: string): ParleyError =>
  new ParleyError('unavailable', { detail: `the log brings nothing while ${what} is verified` })
