/**
 * Compares one log stream with the history: each event that the log still holds must be there with the same bytes, and
 * each room must be dense from its kept floor up to its head. Reads only; the cluster goes on meanwhile.
 *
 * I1. Only what was stored when it began is judged: what comes later is no difference.
 * I2. What retention drops meanwhile is below the room's floor, which is asked for after the rows.
 */
import type { RecordSource, StreamRecord } from '../bus/record-source.ts'
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
  const later = new Later(options.source, options.onStep)
  const log = await compareLog(options, heads, later, missing, stop)
  missing.flushLog()
  const rooms = await checkRooms(options, heads, later, missing, stop)
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
    if (what === 'missing') {
      this.#note(room, first, last)
      return
    }
    const open = this.#open
    if (open?.room === room && open.what === what && first === open.last + 1) open.last = last
    else {
      if (open !== undefined) this.#sink(open)
      this.#open = { room, first, last, what }
    }
  }

  /** Told at the end: rooms take turns in the log. */
  #note(room: RoomId, first: number, last: number): void {
    const told = this.#told.get(room) ?? []
    const newest = told.at(-1)
    if (newest?.[1] === first - 1) newest[1] = last
    else told.push([first, last])
    this.#told.set(room, told)
  }

  /** Unless the log has shown it to be missing. */
  hole(room: RoomId, seq: number): void {
    const told = this.#told.get(room)?.some(([first, last]) => seq >= first && seq <= last)
    if (told !== true) this.add(room, seq, seq, 'hole')
  }

  flush(): void {
    if (this.#open !== undefined) this.#sink(this.#open)
    this.#open = undefined
  }

  /** What the log has shown to be missing. */
  flushLog(): void {
    for (const [room, ranges] of this.#told) {
      for (const [first, last] of ranges) this.#sink({ room, first, last, what: 'missing' })
    }
    this.flush()
  }
}

const compareLog = async (
  { history, stream, source, onDifference, onStep }: VerifyOptions,
  heads: Heads,
  later: Later,
  missing: Missing,
  stop: AbortSignal,
): Promise<{ records: number; events: number }> => {
  const until = await history.floor(stream)
  let records = 0
  let events = 0
  const { last } = await source.open(1)
  const end = Math.min(until, last)
  later.since(end)
  for (let at = 0, silences = 0; at < end; ) {
    stop.throwIfAborted()
    const portion = await source.next(WAIT_MS, stop)
    if (portion.length === 0) {
      if (++silences >= SILENCES) throw silent()
      await onStep()
      continue
    }
    silences = 0
    source.ack()
    at = portion.at(-1)!.position
    const byRoom = new Map<RoomId, HistoryRow[]>()
    for (const record of portion) {
      const { position } = record
      if (position > end) {
        later.add(record)
        continue
      }
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
  { history, stream, streams, partitions, onStep }: VerifyOptions,
  heads: Heads,
  later: Later,
  missing: Missing,
  stop: AbortSignal,
): Promise<number> => {
  let rooms = 0
  let after: RoomId | undefined
  for (;;) {
    stop.throwIfAborted()
    const spans = await history.spans(after, ROOMS)
    if (spans.length === 0) break
    const holed: { room: RoomId; holes: number[]; known: boolean }[] = []
    for (const { room, last } of spans) {
      after = room
      if (partitionOf(room, partitions) % streams !== stream) continue
      rooms++
      const head = heads.get(room)
      heads.delete(room)
      const holes = await holesOf(history, room, head ?? last)
      if (holes.length > 0) holed.push({ room, holes, known: head !== undefined })
    }
    // Of a room that the log says nothing of, the store may hold a part of what is being stored now.
    if (holed.some(({ known }) => !known)) await later.readOn(stop)
    for (const { room, holes, known } of holed) {
      const below = known ? Number.POSITIVE_INFINITY : later.from(room)
      for (const seq of holes) if (seq < below) missing.hole(room, seq)
    }
    await onStep()
  }
  // In the log alone. What was before it is missing too.
  for (const [room, head] of heads) {
    stop.throwIfAborted()
    rooms++
    for (const seq of await holesOf(history, room, head)) missing.hole(room, seq)
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

/** What the log got since this began: it, and what is above it, is no concern of ours. */
class Later {
  readonly #source: RecordSource
  readonly #onStep: VerifyOptions['onStep']
  /** The lowest sequence of each room. */
  readonly #from = new Map<RoomId, number>()
  /** Read up to here. */
  #at = 0

  constructor(source: RecordSource, onStep: VerifyOptions['onStep']) {
    this.#source = source
    this.#onStep = onStep
  }

  from(room: RoomId): number {
    return this.#from.get(room) ?? Number.POSITIVE_INFINITY
  }

  /** Up to here is the past. */
  since(position: number): void {
    this.#at = position
  }

  add({ data, position }: StreamRecord): void {
    this.#at = position
    try {
      eachEvent(data, (room, seq) => {
        this.#from.set(room, Math.min(seq, this.from(room)))
      })
    } catch {
      // It is told by the audit that finds it stored, or set aside.
    }
  }

  /** Reads up to what is the end of the log when it is called, or somewhat further. */
  async readOn(stop: AbortSignal): Promise<void> {
    // Anew each time: a consumer that was not used for long while the store was gone through has expired.
    const { last } = await this.#source.open(this.#at + 1)
    for (let silences = 0; this.#at < last; ) {
      stop.throwIfAborted()
      const portion = await this.#source.next(WAIT_MS, stop)
      if (portion.length === 0 && ++silences >= SILENCES) throw silent()
      this.#source.ack()
      for (const record of portion) this.add(record)
      await this.#onStep()
    }
  }
}

const silent = (): ParleyError =>
  new ParleyError('unavailable', { detail: 'the log brings nothing while it is verified' })
