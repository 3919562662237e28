/**
 * Reads runs of a room's events without a hole: from the cache where it has them, else from the server, whose pages the
 * cache keeps.
 */
import { ParleyError } from '../errors.ts'
import type { RoomId } from '../ids.ts'
import { readFrames } from '../protocol/codec.ts'
import { LIMITS } from '../protocol/frames.ts'
import type { Answer, Asker, Patience } from './ask.ts'
import type { Cache } from './cache.ts'
import { type Entry, entryOf, firstOf, lastOf } from './events.ts'
import { denseFrom } from './shelf.ts'

export type Run = {
  /** Ascending, without a hole. */
  readonly entries: Entry[]
  /** Newest sequence that the user may see, when the server was asked. */
  readonly head: number | undefined
}

export class Archive {
  readonly #cache: Cache
  readonly #asker: Asker

  constructor(cache: Cache, asker: Asker) {
    this.#cache = cache
    this.#asker = asker
  }

  /** Entries from `from` on, some at least if there are any. What the user may not see is one hidden entry. */
  async up(room: RoomId, from: number, limit: number, patience: Patience): Promise<Run> {
    const most = Math.min(limit, LIMITS.pageEvents)
    const kept = await this.#cache.events(room, from, from + most - 1)
    const { entries } = denseFrom(kept, from)
    if (entries.length > 0) return { entries, head: undefined }
    return this.fetchUp(room, from, most, patience)
  }

  /** The same past the cache: `head` is certain then. `gone`: up to here the server keeps nothing (0: all is kept). */
  async fetchUp(
    room: RoomId,
    from: number,
    limit: number,
    patience: Patience,
  ): Promise<Run & { readonly gone: number }> {
    const most = Math.min(limit, LIMITS.pageEvents)
    const page = await this.#asker.ask('fetch', { room, from, limit: most, back: false }, patience)
    const entries = entriesOf(page)
    const [first] = entries
    const gone = first?.kind === 'hidden' ? first.last : 0
    const begin = first === undefined ? Math.min(page.first, page.head + 1) : firstOf(first)
    if (begin > from) {
      // Below `first` nothing may be seen, or it is gone; a hole above it would be a broken page (contracts O6).
      if (begin > Math.max(from, page.first)) throw hole(room, from)
      entries.unshift({ room, kind: 'hidden', first: from, last: begin - 1 })
    }
    await this.#cache.keep(room, entries)
    return { entries, head: page.head, gone }
  }

  /** Entries up to `to` (0: the head), at most `limit` of them, the newest of those last. */
  async down(room: RoomId, to: number, limit: number, patience: Patience): Promise<Run> {
    const most = Math.min(limit, LIMITS.pageEvents)
    if (to > 0) {
      const first = Math.max(1, to - most + 1)
      const { entries, next } = denseFrom(await this.#cache.events(room, first, to), first)
      if (next > to) return { entries, head: undefined }
    }
    const page = await this.#asker.ask(
      'fetch',
      { room, from: to, limit: most, back: true },
      patience,
    )
    const entries = entriesOf(page)
    const last = entries.at(-1)
    const wanted = to > 0 ? Math.min(to, page.head) : page.head
    if (last !== undefined && lastOf(last) < wanted) throw hole(room, lastOf(last) + 1)
    await this.#cache.keep(room, entries)
    return { entries, head: page.head }
  }
}

const hole = (room: RoomId, seq: number): ParleyError =>
  new ParleyError('internal', { detail: `The server's page of ${room} has no event ${seq}.` })

/** @throws ParleyError when they leave a hole, BadFrame when they are no frames. */
const entriesOf = (page: Answer<'fetch'>): Entry[] => {
  const entries: Entry[] = []
  for (const bytes of page.events) {
    for (const frame of readFrames(bytes)) {
      const entry = entryOf(frame)
      if (entry !== undefined) entries.push(entry)
    }
  }
  const first = entries[0]
  if (first !== undefined && denseFrom(entries, firstOf(first)).entries.length < entries.length) {
    throw hole(page.room, denseFrom(entries, firstOf(first)).next)
  }
  return entries
}
