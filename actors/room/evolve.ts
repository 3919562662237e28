/** Folds records into the state: the only place that changes a room. Live and in a replay it does the same. */
import { assertNever } from '../../lib/errors.ts'
import type { UserId } from '../../lib/ids.ts'
import { isDm } from '../../lib/ids.ts'
import { EVENT_KINDS } from '../../lib/protocol/events.ts'
import { BadFrame } from '../../lib/protocol/reader.ts'
import type {
  EventRecord,
  ReadRecord,
  RoomRecord,
  SpentRecord,
} from '../../lib/protocol/records.ts'
import { readAdded, readCreated, readRoleBody, readUserBody } from './bodies.ts'
import { forgetAll, note } from './lineages.ts'
import { beginningOf, newestPreview } from './preview.ts'
import { FORMER_DETAILED, FORMER_KEPT, newMember, ROLE, type Room } from './state.ts'

const NOBODY: readonly UserId[] = []

export const evolve = (state: Room, record: RoomRecord): readonly UserId[] => {
  switch (record.kind) {
    case 'event':
      return event(state, record)
    case 'spent':
      return spent(state, record)
    case 'read':
      return read(state, record)
    default:
      return assertNever(record)
  }
}

const event = (state: Room, record: EventRecord): readonly UserId[] => {
  if (record.seq !== state.head + 1) {
    throw new Error(`${state.id}: event ${record.seq} after head ${state.head}`)
  }
  state.head = record.seq
  state.ord = record.ord
  state.time = record.time
  state.sender = record.sender
  if (record.type === EVENT_KINDS.message.number) {
    state.newest = record.seq
    state.newestBody = beginningOf(record.body)
    const member = state.members.get(record.sender)
    if (member !== undefined) {
      member.read = record.seq
      member.readOrd = record.ord
    }
    settle(state, record)
    return state.recipients
  }
  // The creator is a member only after it, who leaves only before.
  if (record.type !== EVENT_KINDS.created.number) settle(state, record)
  const gone = membership(state, record)
  if (record.type === EVENT_KINDS.created.number) settle(state, record)
  return gone === undefined ? state.recipients : [...state.recipients, gone]
}

const settle = (state: Room, record: EventRecord): void => {
  if (record.n === 0) return
  const { lineage, n, low, hash, seq, id, time } = record
  const member = state.members.get(record.sender)
  if (member !== undefined) note(member.lineages, lineage, n, low, { hash, seq, id, time, code: 0 })
}

/** Returns who is not in the room any more. */
const membership = (state: Room, record: EventRecord): UserId | undefined => {
  switch (record.type) {
    case EVENT_KINDS.created.number:
      created(state, record)
      return undefined
    case EVENT_KINDS.added.number:
      for (const user of readAdded(record.body)) join(state, record, user)
      state.recipients = [...state.members.keys()]
      return undefined
    case EVENT_KINDS.removed.number:
    case EVENT_KINDS.left.number:
      return part(state, record, readUserBody(record.body))
    case EVENT_KINDS.role.number: {
      const { user, role } = readRoleBody(record.body)
      const member = state.members.get(user)
      if (member !== undefined) member.role = role
      return undefined
    }
    default:
      throw new BadFrame(`event of kind ${record.type}: written by a newer version`)
  }
}

const created = (state: Room, record: EventRecord): void => {
  const { title, openHistory, members } = readCreated(record.body)
  state.title = title
  state.openHistory = openHistory
  for (const [user, role] of members) {
    // contracts N1
    const first = isDm(state.id) || user === record.sender
    state.members.set(user, newMember(user, role, first ? 0 : record.seq, record.seq, record))
  }
  state.recipients = [...state.members.keys()]
}

const join = (state: Room, record: EventRecord, user: UserId): void => {
  const gone = state.former.get(user)
  const earlier = gone && { join: gone.join, lineages: gone.lineages }
  state.former.delete(user)
  const from = state.openHistory ? 1 : record.seq
  state.members.set(user, newMember(user, ROLE.member, record.seq, from, record, earlier))
}

const part = (state: Room, record: EventRecord, user: UserId): UserId | undefined => {
  const member = state.members.get(user)
  if (member === undefined) return undefined
  state.members.delete(user)
  state.recipients = [...state.members.keys()]
  const { join, from, read, readOrd, lineages } = member
  const { seq: to, ord, time, sender } = record
  const preview = state.newest >= from ? newestPreview(state) : null
  state.former.set(user, {
    user,
    join,
    from,
    to,
    ord,
    time,
    sender,
    read,
    readOrd,
    lineages,
    preview,
  })
  boundFormer(state)
  return user
}

const boundFormer = (state: Room): void => {
  const { former } = state
  let rank = former.size
  for (const gone of former.values()) {
    if (rank > FORMER_KEPT) former.delete(gone.user)
    else if (rank === FORMER_DETAILED + 1) {
      forgetAll(gone.lineages)
      gone.preview = null
    } else if (rank <= FORMER_DETAILED) break
    rank--
  }
}

const spent = (state: Room, record: SpentRecord): readonly UserId[] => {
  const { lineage, n, low, hash, code } = record
  const member = state.members.get(record.user)
  if (member !== undefined) {
    note(member.lineages, lineage, n, low, { hash, seq: 0, id: 0n, time: 0, code })
  }
  return NOBODY
}

const read = (state: Room, record: ReadRecord): readonly UserId[] => {
  const member = state.members.get(record.user)
  if (member === undefined || record.seq <= member.read) return NOBODY
  member.read = record.seq
  member.readOrd = record.ord
  return state.recipients.filter((user) => user !== record.user)
}
