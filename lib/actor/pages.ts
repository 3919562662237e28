/**
 * Pages of history: the recent events from memory, older ones from the store, merged and proved dense
 * (contracts O6). What lies below the room's floor is gone: a page begins above it, and says so.
 */
import { ParleyError } from '../errors.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { FRAMES } from '../protocol/frames.ts'
import { decodeBatch } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import type { HistoryStore } from '../store/history/history.ts'
import type { RoomActor, TailEntry } from './room-actor.ts'

export type PageSource = {
  readonly history: Pick<HistoryStore, 'page' | 'kept'>
  /** The log record at a position: events whose bytes memory no longer holds. */
  record(position: number): Promise<Uint8Array | undefined>
}

/** A page never weighs more than this; a reader asks on from where it ends. */
const PAGE_BYTES = 48 * 1024

/** The events that an asker may have, and the bounds of what they may see. */
export type PageRange = {
  readonly first: number
  readonly last: number
  readonly from: number
  readonly head: number
}

/**
 * The frames of a page, and where that begins which is kept of what the asker may see. What is gone stands as one `skip`
 * at the beginning of a page that goes up; one that goes down ends at it.
 * @throws ParleyError unavailable when an event is missing
 */
export const readPage = async <State>(
  room: RoomActor<State>,
  range: PageRange,
  back: boolean,
  source: PageSource,
): Promise<{ events: Uint8Array[]; from: number }> => {
  const { first, last, from, head } = range
  if (first > last) return { events: [], from }
  const { kept, events } = await readEvents(room, first, last, source)
  if (kept <= from) return { events, from }
  const gone = Math.min(kept - 1, head)
  if (!back && first <= gone) {
    events.unshift(encodeFrame('skip', { room: room.id, first, last: gone }))
  }
  return { events, from: gone + 1 }
}

/** The events from first to last, both inclusive, that are kept, ascending; and the lowest sequence that is kept. */
const readEvents = async <State>(
  room: RoomActor<State>,
  first: number,
  last: number,
  source: PageSource,
): Promise<{ kept: number; events: Uint8Array[] }> => {
  const { history } = source
  const recent = room.tail
  const recentFrom = recent[0]?.seq ?? Number.POSITIVE_INFINITY
  const isRecent = first >= recentFrom
  const rows = isRecent ? [] : await history.page(room.id, first, Math.min(last, recentFrom - 1))
  // After the rows: what was dropped meanwhile is below it. What memory holds is read also when the store is away.
  const kept = await (isRecent ? history.kept(room.id).catch(() => 1) : history.kept(room.id))
  const from = Math.max(first, kept)
  const events: Uint8Array[] = []
  let expected = from
  for (const row of rows) {
    if (row.seq < from) continue
    if (row.seq !== expected++) throw hole(room.id, expected - 1)
    events.push(row.frame)
  }
  for (let seq = Math.max(from, recentFrom); seq <= last; seq++) {
    const entry = recent[seq - recentFrom]
    if (entry === undefined) throw hole(room.id, seq)
    events.push(entry.frame ?? (await fromLog(room.id, entry, source)))
  }
  const missing = Math.max(0, last - from + 1) - events.length
  if (missing !== 0) throw hole(room.id, from + events.length)
  return { kept, events }
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
