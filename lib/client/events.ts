/** Events of a room as the app sees them: decoded, with ids as strings, plain JSON all through. */
import { parseRoomId, parseUserId, type RoomId, type UserId } from '../ids.ts'
import { EVENT_KINDS } from '../protocol/events.ts'
import { type AnyFrame, type Frame, LIMITS } from '../protocol/frames.ts'
import { BadFrame, Reader } from '../protocol/reader.ts'

export const ROLES = ['member', 'admin', 'owner'] as const
export type Role = (typeof ROLES)[number]

/** What every event says. */
export type Fact = {
  readonly room: RoomId
  /** 1, 2, 3 … without a hole: the order of the room. */
  readonly seq: number
  /** How many unread-worthy events there are up to this one. */
  readonly ord: number
  /** Decimal snowflake: identity, never order. */
  readonly id: string
  /** ms since 1970 by the server's clock; never falls within a room. */
  readonly time: number
  readonly sender: UserId
}

export type Message = Fact & { readonly kind: 'message'; readonly text: string }

export type RoomEvent =
  | Message
  | (Fact & {
      readonly kind: 'created'
      readonly title: string
      readonly openHistory: boolean
      readonly members: readonly { readonly user: UserId; readonly role: Role }[]
    })
  | (Fact & { readonly kind: 'added'; readonly users: readonly UserId[] })
  | (Fact & { readonly kind: 'removed' | 'left'; readonly user: UserId })
  | (Fact & { readonly kind: 'role'; readonly user: UserId; readonly role: Role })
  /** Of a newer server: there is something, but this client cannot show it. */
  | (Fact & { readonly kind: 'unknown'; readonly number: number })

/** Numbers that are not shown to this user, both ends included. */
export type Hidden = {
  readonly room: RoomId
  readonly kind: 'hidden'
  readonly first: number
  readonly last: number
}

/** What stands in a room's numbering: together they leave no hole. */
export type Entry = RoomEvent | Hidden

export const firstOf = (entry: Entry): number => (entry.kind === 'hidden' ? entry.first : entry.seq)
export const lastOf = (entry: Entry): number => (entry.kind === 'hidden' ? entry.last : entry.seq)

export const roleOf = (number: number): Role => ROLES[number] ?? 'member'

/** The event in an `event` frame. @throws BadFrame when the body does not fit its kind. */
export const eventOf = (frame: Frame<'event'>): RoomEvent => {
  const { room, seq, ord, time, sender } = frame
  const fact: Fact = { room, seq, ord, id: frame.id.toString(), time, sender }
  const reader = new Reader(frame.body)
  switch (frame.kind) {
    case EVENT_KINDS.message.number:
      reader.array()
      return { ...fact, kind: 'message', text: reader.str(LIMITS.message) }
    case EVENT_KINDS.created.number: {
      reader.array()
      const title = reader.str(LIMITS.name)
      const openHistory = reader.bool()
      const members = listOf(reader, () => {
        const length = reader.array()
        const member = { user: userOf(reader), role: roleOf(reader.uint()) }
        reader.skipRest(length, 2)
        return member
      })
      return { ...fact, kind: 'created', title, openHistory, members }
    }
    case EVENT_KINDS.added.number:
      reader.array()
      return { ...fact, kind: 'added', users: listOf(reader, () => userOf(reader)) }
    case EVENT_KINDS.removed.number:
      reader.array()
      return { ...fact, kind: 'removed', user: userOf(reader) }
    case EVENT_KINDS.left.number:
      reader.array()
      return { ...fact, kind: 'left', user: userOf(reader) }
    case EVENT_KINDS.role.number:
      reader.array()
      return { ...fact, kind: 'role', user: userOf(reader), role: roleOf(reader.uint()) }
    default:
      return { ...fact, kind: 'unknown', number: frame.kind }
  }
}

const listOf = <T>(reader: Reader, item: () => T): T[] => {
  const items: T[] = []
  for (let left = reader.array(); left > 0; left--) items.push(item())
  return items
}

const userOf = (reader: Reader): UserId => {
  const user = parseUserId(reader.str(32))
  if (user === undefined) throw new BadFrame('user id expected')
  return user
}

/** The entry in an `event` or `skip` frame; undefined for any other. @throws BadFrame */
export const entryOf = (frame: AnyFrame | { readonly name: undefined }): Entry | undefined => {
  if (frame.name === 'event') return eventOf(frame)
  if (frame.name !== 'skip') return undefined
  const { room, first, last } = frame
  return { room, kind: 'hidden', first, last }
}

/** True when `value`, read from a file, can be taken for an entry of `room`. */
export const isEntry = (value: unknown, room: RoomId): value is Entry => {
  if (typeof value !== 'object' || value === null) return false
  const entry = value as Record<string, unknown>
  if (parseRoomId(entry.room) !== room || typeof entry.kind !== 'string') return false
  if (entry.kind === 'hidden') return isSeq(entry.first) && isSeq(entry.last)
  return (
    isSeq(entry.seq) &&
    isSeq(entry.ord) &&
    isSeq(entry.time) &&
    typeof entry.id === 'string' &&
    parseUserId(entry.sender) !== undefined &&
    (entry.kind !== 'message' || typeof entry.text === 'string')
  )
}

const isSeq = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
