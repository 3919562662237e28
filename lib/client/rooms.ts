/**
 * What comes in about rooms, and whom it concerns: the list, the followers, those who iterate. Owns what is newer than
 * the pointers, and which rooms are followed or watched.
 */
import type { ParleyError } from '../errors.ts'
import { isDm, parseUserId, type RoomId, type UserId } from '../ids.ts'
import type { Frame, Pointer } from '../protocol/frames.ts'
import type { Cache } from './cache.ts'
import type { Emitter } from './emitter.ts'
import { type Entry, lastOf, type Message, type RoomEvent } from './events.ts'
import type { Gaps } from './gaps.ts'
import type { Heads } from './heads.ts'
import type { ClientOptions } from './options.ts'
import type { Settled } from './outbox.ts'
import type { Hold } from './profile.ts'
import type { Position } from './saved.ts'
import type { State } from './state.ts'
import { type Summary, summaryOf } from './summary.ts'

export type ClientEvents = {
  /** The connection's state, and why it is not open. */
  state: { readonly state: State; readonly reason: ParleyError | undefined }
  /** Every change of the inbox up to now is taken in: the list of rooms is right. */
  synced: undefined
  /** An event of a followed room, in order and without a hole; also what this user sent. */
  event: RoomEvent
  /** Those of them that are messages. */
  message: Message
  /** A room is new in the list, or its entry changed. */
  room: Summary
  /** A room is no longer in the list. */
  forgotten: RoomId
  /** Somebody has read up to here. */
  read: { readonly room: RoomId; readonly user: UserId; readonly seq: number }
  /** A command of this profile was settled, also one that an earlier run left. */
  settled: Settled
  /** Whether this client has the profile's outbox, or waits for it. */
  outbox: Hold
  /** Something is weaker than asked: the queue was refused, the inbox could not be read. */
  warning: ParleyError
}

type Visible = Pick<Pointer, 'from' | 'join' | 'head' | 'ord'>

export type RoomPorts = {
  readonly options: Pick<ClientOptions, 'follow' | 'history'>
  readonly emitter: Emitter<ClientEvents>
  readonly cache: Cache
  readonly heads: Heads
  readonly gaps: Gaps
  me(): UserId | undefined
  failed(error: unknown): void
}

export class Rooms {
  readonly #ports: RoomPorts
  readonly #followed = new Set<RoomId>()
  readonly #watched = new Map<RoomId, number>()
  readonly #latest = new Map<RoomId, RoomEvent>()

  constructor(ports: RoomPorts) {
    this.#ports = ports
  }

  follows(room: RoomId): boolean {
    return this.#ports.options.follow !== 'opened' || this.#followed.has(room)
  }

  follow(room: RoomId): void {
    this.#followed.add(room)
    const pointer = this.#ports.cache.saved.pointers.get(room)
    if (pointer !== undefined) this.#reach(pointer, true)
  }

  /** Live events of this room are kept for whoever iterates over it. The result ends that. */
  watch(room: RoomId): () => void {
    this.#watched.set(room, (this.#watched.get(room) ?? 0) + 1)
    return () => {
      const left = (this.#watched.get(room) ?? 1) - 1
      if (left === 0) this.#watched.delete(room)
      else this.#watched.set(room, left)
    }
  }

  summary(room: RoomId): Summary | undefined {
    const pointer = this.#ports.cache.saved.pointers.get(room)
    return pointer === undefined ? undefined : summaryOf(pointer, this.#latest.get(room))
  }

  /** The other side of a dm that is in the list. */
  peerOf(room: RoomId): UserId | undefined {
    return isDm(room) ? parseUserId(this.#ports.cache.saved.pointers.get(room)?.title) : undefined
  }

  /** What an earlier run knew. */
  recall(): void {
    for (const pointer of this.#ports.cache.saved.pointers.values()) this.pointed(pointer, true)
  }

  /** An entry was pushed. */
  live(entry: Entry): void {
    const { room } = entry
    const { gaps, heads, cache } = this.#ports
    this.#note(entry)
    if (this.follows(room)) gaps.live(entry)
    else if (this.#watched.has(room)) {
      const raise = () => heads.raise(room, lastOf(entry))
      cache.keep(room, [entry]).then(raise, raise)
    } else heads.raise(room, lastOf(entry))
  }

  /** An event of a followed room is next. */
  released(event: RoomEvent): void {
    const { emitter } = this.#ports
    this.#note(event)
    emitter.emit('event', event)
    if (event.kind === 'message') emitter.emit('message', event)
  }

  /** What the list shows of an event that is newer than the room's pointer. */
  #note(entry: Entry): void {
    if (entry.kind === 'hidden') return
    const latest = this.#latest.get(entry.room)
    if (latest !== undefined && latest.seq >= entry.seq) return
    this.#latest.set(entry.room, entry)
    const summary = this.summary(entry.room)
    if (summary?.head === entry.seq) this.#ports.emitter.emit('room', summary)
  }

  /** A pointer is newer than what was known. `known`: it is of a list that this device had, or of its first. */
  pointed(pointer: Pointer, known: boolean): void {
    const { room, flags, head } = pointer
    const { heads, emitter } = this.#ports
    const left = (flags & 1) === 1
    if (!left) heads.enter(room)
    heads.raise(room, head)
    if (left) heads.leave(room)
    if (this.follows(room)) this.#reach(pointer, known)
    emitter.emit('room', summaryOf(pointer, this.#latest.get(room)))
  }

  #reach(pointer: Pointer, known: boolean): void {
    const { gaps } = this.#ports
    gaps.follow(pointer.room, this.beginning(pointer, known))
    gaps.reach(pointer.room, pointer.head)
  }

  /** Where a room begins of which no position is stored. */
  beginning({ from, join, head, ord }: Visible, known: boolean): Position {
    if (this.#ports.options.history === 'all') return { seq: Math.max(0, from - 1), ord: undefined }
    return known ? { seq: head, ord } : { seq: Math.max(0, from - 1, join - 1), ord: undefined }
  }

  forgotten(room: RoomId): void {
    const { gaps, heads, emitter } = this.#ports
    gaps.forget(room)
    this.#latest.delete(room)
    heads.leave(room)
    emitter.emit('forgotten', room)
  }

  marked({ room, user, seq, ord }: Frame<'mark'>): void {
    if (user === this.#ports.me()) this.read(room, seq, ord)
    this.#ports.emitter.emit('read', { room, user, seq })
  }

  /** The own read position is at `seq`. */
  read(room: RoomId, seq: number, ord: number): void {
    const { cache, emitter, failed } = this.#ports
    const pointer = cache.saved.pointers.get(room)
    if (pointer === undefined || pointer.read >= seq) return
    const moved: Pointer = { ...pointer, read: seq, readOrd: ord }
    cache.write([{ op: 'pointer', pointer: moved }]).catch(failed)
    emitter.emit('room', summaryOf(moved, this.#latest.get(room)))
  }

  /** The sender gets the ack, not its own event. */
  settled(what: Settled): void {
    const { gaps, heads, emitter, me } = this.#ports
    const sender = me()
    if ('ack' in what && sender !== undefined) {
      const { command, ack } = what
      const { room } = command
      if (!this.follows(room)) heads.raise(room, ack.seq)
      else if (command.name === 'send') {
        gaps.own({ kind: 'message', room, ...ack, sender, text: command.text })
      } else {
        if (command.name === 'create') gaps.follow(room, { seq: 0, ord: 0 })
        gaps.reach(room, ack.seq)
      }
    }
    emitter.emit('settled', what)
  }
}
