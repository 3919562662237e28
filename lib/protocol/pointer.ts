import { nullable, record, room, str, uint, user } from './fields.ts'

/** Largest name of a group or title of a room, bytes. */
export const NAME_BYTES = 256

/** What changed in a room for a user: full state with absolute values, never a copy of the history (contracts I1). */
export const POINTER = record('What a room is for this user', {
  room: room('The room'),
  version: uint('Grows with each change of this pointer'),
  head: uint('Newest sequence that the user may see'),
  ord: uint('How many unread-worthy events there are up to `head`; unread = ord − readOrd'),
  time: uint('Time of `head`, ms'),
  read: uint('How far the user has read'),
  readOrd: uint('`ord` at `read`'),
  from: uint('First sequence that the user may see'),
  join: uint('Sequence of the user’s join, for numbered commands'),
  role: uint('0 member, 1 admin, 2 owner', 2),
  flags: uint('Bit 0: the user is no longer in the room; `head` is the removal'),
  title: str('Name of a group; user id of the other side of a dm', NAME_BYTES),
  sender: nullable(user('Sender of `head`')),
  preview: nullable(str('First characters of the newest message', 256)),
})
