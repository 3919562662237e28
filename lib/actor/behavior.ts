/**
 * What the runtime asks of the domain. An actor is a single-threaded state machine: `decide` says what a command leads
 * to, `evolve` folds a record into the state. Both are deterministic: no I/O, no clock, no randomness; what they need
 * of those stands in `Asked`. The same records in the same order give the same state, live or by replay.
 */
import type { Refusal } from '../errors.ts'
import type { DeviceId, RoomId, UserId } from '../ids.ts'
import type { ClientFrame, Cursor, Pointer, ServerFrame } from '../protocol/frames.ts'
import type { Send } from '../protocol/hot.ts'
import type { RoomRecord } from '../protocol/records.ts'

type Hashed<F> = F & { readonly hash: number }
type Named<N extends ClientFrame['name']> = Extract<ClientFrame, { name: N }>

/** A client's frame to a room; `hash` is of its bytes without the request number. */
export type RoomCommand =
  | Send
  | Hashed<Named<'create'>>
  | Hashed<Named<'add'>>
  | Hashed<Named<'remove'>>
  | Hashed<Named<'leave'>>
  | Hashed<Named<'role'>>
  | Named<'fetch'>
  | Named<'read'>
  | Named<'open'>

/** Who asks, and what a pure function may not fetch itself. */
export type Asked = {
  readonly user: UserId
  /** ms since 1970 */
  readonly now: number
  /** For a dm that has no message yet: what the users' actors said of it (contracts N5). */
  readonly permit: 'granted' | Refusal | undefined
  /** A fresh snowflake. */
  nextId(now: number): bigint
}

export type Answer =
  /** Committed, now or by the first copy of this command. */
  | { readonly kind: 'ack'; readonly seq: number; readonly id: bigint; readonly time: number }
  | { readonly kind: 'ok' }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** Events first … last (none when first > last) may be read; `from` … `head` is what the asker may see at all. */
  | {
      readonly kind: 'range'
      readonly first: number
      readonly last: number
      readonly from: number
      readonly head: number
    }
  | { readonly kind: 'info'; readonly info: RoomInfo }
  /** The dm has no message yet: ask the users' actors, then decide again with their `permit`. */
  | { readonly kind: 'permit'; readonly peer: UserId }

/** The fields of an `info` frame but `req`. */
export type RoomInfo = Omit<Extract<ServerFrame, { name: 'info' }>, 'name' | 'req'>

/** Records in their order, and the answer that may leave once they are committed. */
export type Decision = { readonly records: readonly RoomRecord[]; readonly answer: Answer }

export type RoomBehavior<State> = {
  /** The state of a room that nothing has happened in. */
  empty(room: RoomId): State
  decide(state: State, command: RoomCommand, asked: Asked): Decision
  /**
   * Folds a record into `state`, in place. Returns who is to hear of it: for an event the members after it and those
   * it removed; for a read mark the other members. Arrays returned are never changed afterwards.
   */
  evolve(state: State, record: RoomRecord): readonly UserId[]
  /** What the room is for a user (contracts I1, clipped by I4), `version` left 0; undefined for a stranger. */
  pointer(state: State, user: UserId): Pointer | undefined
  /** Newest sequence. */
  head(state: State): number
  encode(state: State): Uint8Array
  /** @throws BadFrame when the bytes are of another version or damaged. */
  decode(room: RoomId, bytes: Uint8Array): State
}

export const ACCOUNT_KEY = '!account'
/**
 * Up to which inbox position tombstones of left rooms were dropped. Behind every room in the order of keys: who reads
 * a user's rows one after the other misses no tombstone without hearing of it here (contracts I4).
 */
export const DROPPED_KEY = '~dropped'

/** A stored entry of a user: the pointer of a room, whose id is the key, or what the keys above say. */
export type UserEntry = {
  readonly key: string
  /** Of the pointer or account; the higher one wins (contracts I1, I6). */
  readonly version: number
  /** Where it stands in the inbox: what cursors count. */
  readonly position: number
  readonly value: Uint8Array
}

export type Changes = {
  readonly cursor: Cursor
  readonly full: boolean
  readonly more: boolean
  /** Pointers, newest first, as their bytes. */
  readonly pointers: readonly Uint8Array[]
}

/** The fold of a user's inbox. */
export type UserBehavior<State> = {
  empty(user: UserId): State
  /** Keeps the entry if it is newer than what is there: true when it was. */
  fold(state: State, entry: UserEntry): boolean
  /** Whether a device with a token of `generation` may open (or keep) a session. */
  admit(state: State, device: DeviceId, generation: number): 'admitted' | Refusal
  /** What changed since `cursor`, bounded. `stream` is the incarnation of the inbox, `head` the newest position folded. */
  changes(state: State, cursor: Cursor | null, stream: string, head: number): Changes
  /** Pointers of rooms that were left before `before` (ms since 1970), up to inbox position `upTo`, the oldest first. */
  tombstones(state: State, before: number, upTo: number): readonly UserEntry[]
  /** Forgets those of these entries that are still the newest of their rooms. */
  drop(state: State, entries: readonly UserEntry[]): void
  /** Position of the newest pointer, of a dropped one too. */
  newest(state: State): number
  /** Whether `from` may start a dm with this user. */
  mayDm(state: State, from: UserId): 'granted' | Refusal
}
