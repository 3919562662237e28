/** What leaves no trace, or only a read position. Nobody but who is or was in the room learns that it exists. */
import type { Answer, Asked, Decision, RoomCommand, RoomInfo } from '../../lib/actor/behavior.ts'
import { dmId, isDm } from '../../lib/ids.ts'
import { answer, refuseUnrecorded } from './decision.ts'
import { refused } from './lineages.ts'
import { ROLE, type Room, sightOf } from './state.ts'

type Named<N extends RoomCommand['name']> = Extract<RoomCommand, { name: N }>

/** Which events a `fetch` may have, clipped at what the asker may see. */
export const range = (state: Room, command: Named<'fetch'>, asked: Asked): Answer => {
  const sight = sightOf(state, asked.user)
  if (sight === undefined) return refused('not_member')
  const { from, head } = sight
  const { limit } = command
  if (command.back) {
    const last = command.from === 0 || command.from > head ? head : command.from
    return { kind: 'range', first: Math.max(from, last - limit + 1), last, from, head }
  }
  const first = Math.max(from, command.from)
  return { kind: 'range', first, last: Math.min(first + limit - 1, head), from, head }
}

const infoOf = (state: Room, command: Named<'open'>, asked: Asked): RoomInfo | undefined => {
  const { id: room, title, openHistory } = state
  const { user } = asked
  const member = state.members.get(user)
  if (member !== undefined) {
    const { from, join, role } = member
    const members = []
    for (const one of state.members.values()) {
      members.push({ user: one.user, role: one.role, read: one.read })
    }
    const lastN = lastOf(member, command)
    return {
      room,
      head: state.head,
      ord: state.ord,
      from,
      join,
      lastN,
      role,
      title,
      openHistory,
      members,
    }
  }
  const gone = state.former.get(user)
  if (gone !== undefined) {
    const { from, to: head, ord, join } = gone
    const lastN = lastOf(gone, command)
    // Who is in it now is not theirs to see.
    return {
      room,
      head,
      ord,
      from,
      join,
      lastN,
      role: ROLE.member,
      title,
      openHistory,
      members: [],
    }
  }
  const { peer } = command
  if (!isDm(room) || peer === null || dmId(user, peer) !== room) return undefined
  // A dm that has no message yet.
  const users = user === peer ? [user] : [user, peer]
  return {
    room,
    head: 0,
    ord: 0,
    from: 1,
    join: 0,
    lastN: 0,
    role: ROLE.member,
    title: '',
    openHistory: true,
    members: users.map((one) => ({ user: one, role: ROLE.member, read: 0 })),
  }
}

const lastOf = (
  { lineages }: { lineages: { byId: ReadonlyMap<number, { last: number }> } },
  { lineage }: { lineage: number | null },
): number => (lineage === null ? 0 : (lineages.byId.get(lineage)?.last ?? 0))

export const info = (state: Room, command: Named<'open'>, asked: Asked): Answer => {
  const it = infoOf(state, command, asked)
  return it === undefined ? refused('not_member') : { kind: 'info', info: it }
}

/** A read position only rises; one that does not leaves no record. */
export const read = (state: Room, command: Named<'read'>, asked: Asked): Decision => {
  const member = state.members.get(asked.user)
  if (member === undefined) return refuseUnrecorded('not_member')
  const { seq } = command
  if (seq > state.head) return refuseUnrecorded('bad_request')
  if (seq <= member.read) return answer({ kind: 'ok' })
  // The client says which `ord` belongs to `seq`; it can't be outside of what the head admits.
  const least = Math.max(member.readOrd, state.ord - (state.head - seq))
  const most = Math.min(seq, state.ord)
  const ord = Math.min(Math.max(command.ord, least), most)
  return {
    records: [{ kind: 'read', room: state.id, user: asked.user, seq, ord }],
    answer: { kind: 'ok' },
  }
}
