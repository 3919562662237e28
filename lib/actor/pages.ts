/**
 * Pages of history: the recent events from memory, older ones from the store, merged and proved dense
 * (contracts O6).
 */
import { ParleyError } from '../errors.ts'
import { FRAMES } from '../protocol/frames.ts'
import { decodeBatch } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import type { HistoryStore } from '../store/history/history.ts'
import type { RoomActor, TailEntry } from './room-actor.ts'

export type PageSource = {
  readonly history: HistoryStore
  /** The log record at a position: events whose bytes memory no longer holds. */
  record(position: number): Promise<Uint8Array | undefined>
}

/** A page never weighs more than this; a reader asks on from where it ends. */
const PAGE_BYTES = 48 * 1024

/** Event frames first … last, both inclusive, ascending. @throws ParleyError unavailable when one is missing */
export const readEvents = async <State>(
  room: RoomActor<State>,
  first: number,
  last: number,
  source: PageSource,
): Promise<Uint8Array[]> => {
  const recent = room.tail
  const recentFrom = recent[0]?.seq ?? Number.POSITIVE_INFINITY
  const frames: Uint8Array[] = []
  if (first < recentFrom) {
    const rows = await source.history.page(room.id, first, Math.min(last, recentFrom - 1))
    let expected = first
    for (const row of rows) {
      if (row.seq !== expected++) throw hole(room.id, expected - 1)
      frames.push(row.frame)
    }
  }
  for (let seq = Math.max(first, recentFrom); seq <= last; seq++) {
    const entry = recent[seq - recentFrom]
    if (entry === undefined) throw hole(room.id, seq)
    frames.push(entry.frame ?? (await fromLog(room.id, entry, source)))
  }
  if (frames.length !== last - first + 1) throw hole(room.id, first + frames.length)
  return frames
}

const hole = (room: string, seq: number): ParleyError =>
  new ParleyError('unavailable', {
    detail: `event ${seq} of ${room} is not to be had for now`,
    retryAfterMs: 200,
  })

const fromLog = async (room: string, entry: TailEntry, source: PageSource): Promise<Uint8Array> => {
  const bytes = await source.record(entry.position)
  let found: Uint8Array | undefined
  if (bytes !== undefined) {
    decodeBatch(bytes, (id, seq, frame) => {
      if (id === room && seq === entry.seq) found = frame
    })
  }
  if (found === undefined) throw hole(room, entry.seq)
  return found
}

/** A `page` frame; drops what is past a page's weight from the far end of the reading direction. */
export const pageFrame = (
  req: number,
  room: string,
  bounds: { head: number; from: number },
  events: readonly Uint8Array[],
  back: boolean,
): Uint8Array => {
  let weight = 0
  let from = 0
  let to = events.length
  if (back) {
    for (
      from = to;
      from > 0 && (weight === 0 || weight + events[from - 1]!.length <= PAGE_BYTES);
      from--
    ) {
      weight += events[from - 1]!.length
    }
  } else {
    for (
      to = 0;
      to < events.length && (weight === 0 || weight + events[to]!.length <= PAGE_BYTES);
      to++
    ) {
      weight += events[to]!.length
    }
  }
  const writer = new Writer(weight + 64).array(6).uint(FRAMES.page.type).uint(req).str(room)
  writer
    .uint(bounds.head)
    .uint(bounds.from)
    .array(to - from)
  for (let i = from; i < to; i++) writer.raw(events[i]!)
  return writer.take()
}
