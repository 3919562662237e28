/** What a command leads to. Reads the state, never writes it. */
import type { Asked, Decision, RoomCommand } from '../../lib/actor/behavior.ts'
import { assertNever } from '../../lib/errors.ts'
import { create } from './create.ts'
import { answer, refuseUnrecorded, spend } from './decision.ts'
import { decidedIn, isNonsense, type Numbered, standing } from './lineages.ts'
import { add, leave, remove, role } from './membership.ts'
import { info, range, read } from './reads.ts'
import { send, sendFromOutside } from './send.ts'
import { isDeleted, type Member, type Room, type RoomLimits, type Stay } from './state.ts'

export const decide = (
  state: Room,
  command: RoomCommand,
  asked: Asked,
  limits: RoomLimits,
): Decision => {
  switch (command.name) {
    case 'fetch':
      return answer(range(state, command, asked))
    case 'open':
      return answer(info(state, command, asked))
    case 'read':
      return read(state, command, asked)
    default:
      return numbered(state, command, asked, limits)
  }
}

/** Exactly once (contracts N): only the next of a member's lineage is decided anew. */
const numbered = (state: Room, command: Numbered, asked: Asked, limits: RoomLimits): Decision => {
  if (isNonsense(command)) return refuseUnrecorded('bad_request')
  const member = state.members.get(asked.user)
  if (member === undefined) return fromOutside(state, command, asked, limits)
  if (command.join !== member.join) return stale(member.earlier, command)
  const known = standing(member.lineages, command)
  return known === undefined ? next(state, command, asked, member, limits) : answer(known)
}

const next = (
  state: Room,
  command: Numbered,
  asked: Asked,
  by: Member,
  limits: RoomLimits,
): Decision => {
  switch (command.name) {
    case 'send':
      return send(state, command, asked)
    case 'create':
      return spend(state, command, asked, 'exists')
    case 'add':
      return add(state, command, asked, by, limits)
    case 'remove':
      return remove(state, command, asked, by)
    case 'leave':
      return leave(state, command, asked, by)
    case 'role':
      return role(state, command, asked, by)
    default:
      return assertNever(command)
  }
}

const decidedThen = (stay: Stay | undefined, command: Numbered) =>
  stay?.join === command.join ? decidedIn(stay.lineages, command) : undefined

/** From another stay than this one: what was accepted then is acked again, nothing else is ever valid (N1). */
const stale = (earlier: Stay | undefined, command: Numbered): Decision => {
  const known = decidedThen(earlier, command)
  if (known !== undefined) return answer(known)
  return refuseUnrecorded(command.name === 'create' ? 'exists' : 'stale_join')
}

/** From a user who is not in the room, or not any more: refused unrecorded (N2), unless it makes the room. */
const fromOutside = (
  state: Room,
  command: Numbered,
  asked: Asked,
  limits: RoomLimits,
): Decision => {
  const gone = state.former.get(asked.user)
  const known = decidedThen(gone, command)
  if (known !== undefined) return answer(known)
  if (command.name === 'create') return create(state, command, asked, limits)
  if (gone !== undefined) return refuseUnrecorded(isDeleted(state) ? 'not_found' : 'not_member')
  if (command.name === 'send') return sendFromOutside(state, command, asked)
  return refuseUnrecorded('not_member')
}
