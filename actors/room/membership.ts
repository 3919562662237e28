/** Who is in a group and as what. Each decides a member's command that is the next of its lineage. */
import type { Asked, Decision, RoomCommand } from '../../lib/actor/behavior.ts'
import { isDm, type UserId } from '../../lib/ids.ts'
import { addedBody, roleBody, userBody } from './bodies.ts'
import { ackOf, commit, event, spend } from './decision.ts'
import { type Member, ROLE, type Role, type Room, type RoomLimits } from './state.ts'

type Named<N extends RoomCommand['name']> = Extract<RoomCommand, { name: N }>

export const add = (
  state: Room,
  command: Named<'add'>,
  asked: Asked,
  by: Member,
  limits: RoomLimits,
): Decision => {
  if (isDm(state.id) || by.role < ROLE.admin) return spend(state, command, asked, 'forbidden')
  const users = [...new Set(command.users)].filter((user) => !state.members.has(user))
  if (users.length === 0) return spend(state, command, asked, 'bad_request')
  if (state.members.size + users.length > limits.members) {
    return spend(state, command, asked, 'limit')
  }
  return commit(event(state, asked, 'added', addedBody(users), command))
}

export const remove = (
  state: Room,
  command: Named<'remove'>,
  asked: Asked,
  by: Member,
): Decision => {
  if (isDm(state.id) || by.role < ROLE.admin) return spend(state, command, asked, 'forbidden')
  if (command.user === by.user) return spend(state, command, asked, 'bad_request')
  const whom = state.members.get(command.user)
  if (whom === undefined) return spend(state, command, asked, 'not_found')
  if (by.role < ROLE.owner && whom.role > ROLE.member) {
    return spend(state, command, asked, 'forbidden')
  }
  return commit(event(state, asked, 'removed', userBody(whom.user), command))
}

const isLastOwner = (state: Room, member: Member): boolean => {
  if (member.role !== ROLE.owner) return false
  for (const other of state.members.values()) {
    if (other !== member && other.role === ROLE.owner) return false
  }
  return true
}

/** The oldest admin, else the oldest member; undefined when there is nobody else. */
const successorOf = (state: Room, owner: Member): UserId | undefined => {
  let oldest: UserId | undefined
  for (const member of state.members.values()) {
    if (member === owner) continue
    if (member.role === ROLE.admin) return member.user
    oldest ??= member.user
  }
  return oldest
}

export const leave = (state: Room, command: Named<'leave'>, asked: Asked, by: Member): Decision => {
  if (isDm(state.id)) return spend(state, command, asked, 'forbidden')
  const successor = isLastOwner(state, by) ? successorOf(state, by) : undefined
  if (successor === undefined) {
    return commit(event(state, asked, 'left', userBody(by.user), command))
  }
  // The new owner first, so that no log ever ends in a group that nobody owns.
  const handed = event(state, asked, 'role', roleBody(successor, ROLE.owner), undefined)
  const left = event(state, asked, 'left', userBody(by.user), command, 1)
  return { records: [handed, left], answer: ackOf(left) }
}

export const role = (state: Room, command: Named<'role'>, asked: Asked, by: Member): Decision => {
  if (isDm(state.id) || by.role < ROLE.owner) return spend(state, command, asked, 'forbidden')
  const whom = state.members.get(command.user)
  if (whom === undefined) return spend(state, command, asked, 'not_found')
  if (whom.role === command.role) return spend(state, command, asked, 'bad_request')
  if (isLastOwner(state, whom)) return spend(state, command, asked, 'forbidden')
  const body = roleBody(whom.user, command.role as Role)
  return commit(event(state, asked, 'role', body, command))
}
