import { isDm, type UserId } from '../../lib/ids.ts'
import type { Pointer } from '../../lib/protocol/frames.ts'
import { newestPreview } from './preview.ts'
import { ROLE, type Room } from './state.ts'

const GONE = 1

/** The user id of the other side of a dm (their own in notes to self), or the name of a group. */
const titleFor = (state: Room, user: UserId): string => {
  if (!isDm(state.id)) return state.title
  for (const other of state.members.keys()) if (other !== user) return other
  return user
}

/** What the room is for a user, clipped at what they may see (contracts I1, I4); undefined for a stranger. */
export const pointer = (state: Room, user: UserId): Pointer | undefined => {
  const { id: room } = state
  const title = titleFor(state, user)
  const member = state.members.get(user)
  if (member !== undefined) {
    const { read, readOrd, from, join, role } = member
    return {
      room,
      version: 0,
      head: state.head,
      ord: state.ord,
      time: state.time,
      read,
      readOrd,
      from,
      join,
      role,
      flags: 0,
      title,
      sender: state.sender ?? null,
      preview: state.newest >= from ? newestPreview(state) : null,
    }
  }
  const gone = state.former.get(user)
  if (gone === undefined) return undefined
  const { ord, time, read, readOrd, from, join, sender, preview } = gone
  return {
    room,
    version: 0,
    head: gone.to,
    ord,
    time,
    read,
    readOrd,
    from,
    join,
    role: ROLE.member,
    flags: GONE,
    title,
    sender,
    preview,
  }
}
