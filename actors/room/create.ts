import type { Asked, Decision, RoomCommand } from '../../lib/actor/behavior.ts'
import { isDm, type UserId } from '../../lib/ids.ts'
import { createdBody } from './bodies.ts'
import { commit, event, refuseUnrecorded } from './decision.ts'
import { ROLE, type Role, type Room, type RoomLimits } from './state.ts'

type Create = Extract<RoomCommand, { name: 'create' }>

/** Command 1 of a group's creator (contracts N5), by somebody who is not in the room: it must not exist yet. */
export const create = (
  state: Room,
  command: Create,
  asked: Asked,
  limits: RoomLimits,
): Decision => {
  if (isDm(state.id)) return refuseUnrecorded('bad_request')
  if (state.head > 0) return refuseUnrecorded('exists')
  if (command.n !== 1 || command.join !== 0) return refuseUnrecorded('bad_request')

  const members = new Map<UserId, Role>([[asked.user, ROLE.owner]])
  for (const user of command.members) if (!members.has(user)) members.set(user, ROLE.member)
  if (members.size > limits.members) return refuseUnrecorded('limit')

  const { title, openHistory } = command
  const body = createdBody({ title, openHistory, members: [...members] })
  return commit(event(state, asked, 'created', body, command))
}
