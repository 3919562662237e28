/**
 * Hands the events of followed rooms to the app: each once, in order, without a hole. Owns a timeline per followed room
 * and fetches what is missing of it.
 *
 * G1 A position is stored after what it counts was handed over: after a crash some may come again, none is missing.
 * G2 At most FETCHES rooms are fetched at once; a hole that live frames left gets a moment to close by itself.
 */
import { ParleyError } from '../errors.ts'
import type { RoomId, UserId } from '../ids.ts'
import type { Archive } from './archive.ts'
import type { Cache } from './cache.ts'
import { type Entry, firstOf, lastOf, type RoomEvent } from './events.ts'
import type { Heads } from './heads.ts'
import type { Change, Position } from './saved.ts'
import { sleep, type Time } from './time.ts'
import { type OwnMessage, Timeline } from './timeline.ts'

export type GapPorts = {
  readonly time: Time
  readonly cache: Cache
  readonly archive: Archive
  readonly heads: Heads
  follows(room: RoomId): boolean
  me(): UserId | undefined
  /** Where a room begins that nothing is known of yet. @throws ParleyError */
  begin(room: RoomId): Promise<Position>
  released(event: RoomEvent): void
  /** The cache failed. */
  failed(error: unknown): void
  signal(): AbortSignal
}

const FETCHES = 4
/** ms that an ack or event which is already on its way may take. */
const MOMENT = 50
const RETRY = 500
const STORE_EVERY = 200

export class Gaps {
  readonly #ports: GapPorts
  readonly #timelines = new Map<RoomId, Timeline>()
  /** What came for rooms whose beginning is being asked for. */
  readonly #early = new Map<RoomId, (Entry | OwnMessage)[]>()
  readonly #moments = new Map<RoomId, () => void>()
  readonly #wanted = new Set<RoomId>()
  readonly #filling = new Set<RoomId>()
  readonly #moved = new Set<RoomId>()
  #storing: (() => void) | undefined
  #idle: PromiseWithResolvers<void> | undefined

  constructor(ports: GapPorts) {
    this.#ports = ports
  }

  /** Follows `room` from its stored position on; without one, from `fallback`. */
  follow(room: RoomId, fallback: Position): Timeline {
    let timeline = this.#timelines.get(room)
    if (timeline === undefined) {
      const { cache, failed } = this.#ports
      const stored = cache.saved.positions.get(room)
      timeline = new Timeline(stored ?? fallback)
      this.#timelines.set(room, timeline)
      // At once: a later run must not begin with what came after this.
      if (stored === undefined) {
        cache.write([{ op: 'position', room, position: fallback }]).catch(failed)
      }
      for (const early of this.#early.get(room) ?? []) this.#offer(room, timeline, early)
      this.#early.delete(room)
    }
    return timeline
  }

  /** An entry that was pushed. */
  live(entry: Entry): void {
    const { room } = entry
    const timeline = this.#timelineFor(room, entry)
    if (timeline === undefined) return
    this.#offer(room, timeline, entry)
    this.#soon(room, timeline)
  }

  /** A message of this client, by its ack. */
  own(message: OwnMessage): void {
    const timeline = this.#timelineFor(message.room, message)
    if (timeline === undefined) return
    this.#offer(message.room, timeline, message)
    this.#soon(message.room, timeline)
  }

  /** The room has events up to `seq`; they are fetched without waiting for live frames. */
  reach(room: RoomId, seq: number): void {
    const timeline = this.#timelines.get(room)
    if (timeline === undefined) return
    timeline.raise(seq)
    if (!timeline.complete) this.#fill(room)
  }

  forget(room: RoomId): void {
    this.#timelines.delete(room)
    this.#wanted.delete(room)
    this.#moved.delete(room)
  }

  /** Resolves when nothing is known to be missing. */
  settled(): Promise<void> {
    if (this.#isSettled()) return Promise.resolve()
    this.#idle ??= Promise.withResolvers()
    return this.#idle.promise
  }

  #isSettled(): boolean {
    if (this.#early.size > 0 || this.#wanted.size > 0 || this.#filling.size > 0) return false
    for (const timeline of this.#timelines.values()) if (!timeline.complete) return false
    return true
  }

  /** After `settled` could have become true. */
  #noteIdle(): void {
    if (this.#idle === undefined || !this.#isSettled()) return
    this.#idle.resolve()
    this.#idle = undefined
  }

  #timelineFor(room: RoomId, entry: Entry | OwnMessage): Timeline | undefined {
    const { cache, follows } = this.#ports
    if (!follows(room)) return undefined
    const known = this.#timelines.get(room)
    if (known !== undefined) return known
    const stored = cache.saved.positions.get(room)
    if (stored !== undefined) return this.follow(room, stored)
    if (this.#startsWith(entry))
      return this.follow(room, { seq: firstOf(entry as Entry) - 1, ord: undefined })
    const early = this.#early.get(room)
    if (early === undefined) {
      this.#early.set(room, [entry])
      void this.#learn(room)
    } else if (early.length < 512) early.push(entry)
    return undefined
  }

  /** True when the user's part in the room begins with this event. */
  #startsWith(entry: Entry | OwnMessage): boolean {
    const me = this.#ports.me()
    if (entry.kind === 'created') return true
    return entry.kind === 'added' && me !== undefined && entry.users.includes(me)
  }

  async #learn(room: RoomId): Promise<void> {
    const { begin, signal } = this.#ports
    try {
      const position = await begin(room)
      if (signal().aborted) return
      const timeline = this.follow(room, position)
      if (!timeline.complete) this.#fill(room)
    } catch {
      // Not readable, or closed: there is nothing to follow.
      this.#early.delete(room)
    }
    this.#noteIdle()
  }

  #offer(room: RoomId, timeline: Timeline, entry: Entry | OwnMessage): void {
    const isOwn = entry.kind === 'message' && !('ord' in entry)
    this.#release(room, isOwn ? timeline.offerOwn(entry) : timeline.offer(entry as Entry))
  }

  #release(room: RoomId, entries: readonly Entry[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    const { cache, heads, released, time } = this.#ports
    const raise = () => heads.raise(room, lastOf(last))
    // A cache that fails keeps nothing: whoever reads asks the server.
    cache.keep(room, entries).then(raise, raise)
    for (const entry of entries) if (entry.kind !== 'hidden') released(entry)
    this.#moved.add(room)
    this.#storing ??= time.after(STORE_EVERY, () => {
      this.store().catch(this.#ports.failed)
    })
    this.#noteIdle()
  }

  /** Stores how far the rooms were followed. */
  async store(): Promise<void> {
    this.#storing?.()
    this.#storing = undefined
    const changes: Change[] = []
    for (const room of this.#moved) {
      const timeline = this.#timelines.get(room)
      if (timeline) changes.push({ op: 'position', room, position: timeline.position })
    }
    this.#moved.clear()
    if (changes.length > 0) await this.#ports.cache.write(changes)
  }

  /** Fetches a hole if it is still there in a moment. */
  #soon(room: RoomId, timeline: Timeline): void {
    if (timeline.complete || this.#moments.has(room)) return
    const cancel = this.#ports.time.after(MOMENT, () => {
      this.#moments.delete(room)
      if (!timeline.complete) this.#fill(room)
    })
    this.#moments.set(room, cancel)
  }

  #fill(room: RoomId): void {
    if (this.#filling.has(room)) return
    this.#wanted.add(room)
    this.#next()
  }

  #next(): void {
    for (const room of this.#wanted) {
      if (this.#filling.size >= FETCHES) return
      this.#wanted.delete(room)
      this.#filling.add(room)
      void this.#fetch(room).finally(() => {
        this.#filling.delete(room)
        if (this.#timelines.get(room)?.complete === false && !this.#ports.signal().aborted) {
          this.#wanted.add(room)
        }
        this.#next()
        this.#noteIdle()
      })
    }
  }

  /** Fetches hole after hole of a room; what stays missing is tried again later. */
  async #fetch(room: RoomId): Promise<void> {
    const { archive, time } = this.#ports
    const signal = this.#ports.signal()
    try {
      for (;;) {
        const timeline = this.#timelines.get(room)
        const hole = timeline?.hole()
        if (timeline === undefined || hole === undefined) return
        const run = await archive.fetchUp(room, hole.first, hole.last - hole.first + 1, { signal })
        if (this.#timelines.get(room) !== timeline) return
        for (const entry of run.entries) this.#release(room, timeline.offer(entry))
        if (run.entries.length === 0) await sleep(time, RETRY, signal)
      }
    } catch (error) {
      if (signal.aborted) return
      // A page that is broken now may be whole later; what is refused for good will never be read.
      if (error instanceof ParleyError && error.canRetry) await sleep(time, RETRY)
      else this.forget(room)
    }
  }
}
