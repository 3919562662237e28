/** What a list of rooms shows: the pointer of the inbox, and what came since it. */
import { isDm, parseUserId, type RoomId, type UserId } from '../ids.ts'
import type { Pointer } from '../protocol/frames.ts'
import { type Role, type RoomEvent, roleOf } from './events.ts'

export type Summary = {
  readonly room: RoomId
  readonly kind: 'dm' | 'group'
  /** Name of a group; empty for a dm. */
  readonly title: string
  /** The other side of a dm. */
  readonly peer: UserId | undefined
  /** Newest sequence that the user may see, and its time (ms). */
  readonly head: number
  readonly time: number
  /** Messages after what the user has read. */
  readonly unread: number
  /** How far the user has read. */
  readonly read: number
  readonly role: Role
  /** The user is no longer in the room. */
  readonly left: boolean
  readonly sender: UserId | undefined
  readonly preview: string | undefined
}

const PREVIEW = 80

export const summaryOf = (pointer: Pointer, latest: RoomEvent | undefined): Summary => {
  const dm = isDm(pointer.room)
  const newer = latest !== undefined && latest.seq > pointer.head ? latest : undefined
  return {
    room: pointer.room,
    kind: dm ? 'dm' : 'group',
    title: dm ? '' : pointer.title,
    peer: dm ? parseUserId(pointer.title) : undefined,
    head: newer?.seq ?? pointer.head,
    time: newer?.time ?? pointer.time,
    unread: Math.max(0, (newer?.ord ?? pointer.ord) - pointer.readOrd),
    read: pointer.read,
    role: roleOf(pointer.role),
    left: (pointer.flags & 1) === 1,
    sender: newer?.sender ?? pointer.sender ?? undefined,
    preview:
      (newer?.kind === 'message' ? newer.text.slice(0, PREVIEW) : undefined) ??
      pointer.preview ??
      undefined,
  }
}
