import type { Asked, Decision } from '../../lib/actor/behavior.ts'
import { dmId, isDm } from '../../lib/ids.ts'
import type { Send } from '../../lib/protocol/hot.ts'
import { createdBody, messageBody } from './bodies.ts'
import { ackOf, answer, commit, event, refuseUnrecorded, spend } from './decision.ts'
import { ROLE, type Room } from './state.ts'

export const send = (state: Room, command: Send, asked: Asked): Decision =>
  command.textBytes === 0
    ? spend(state, command, asked, 'bad_request')
    : commit(event(state, asked, 'message', messageBody(command.text), command))

/**
 * A send by somebody who is not in the room: the first message of a dm makes it (contracts N5). What is answered to
 * a stranger does not depend on whether the room exists.
 */
export const sendFromOutside = (state: Room, command: Send, asked: Asked): Decision => {
  const { user } = asked
  const { peer } = command
  if (!isDm(state.id) || peer === null) return refuseUnrecorded('not_member')
  if (dmId(user, peer) !== state.id) return refuseUnrecorded('bad_request')
  if (command.join !== 0) return refuseUnrecorded('stale_join')
  if (command.textBytes === 0) return refuseUnrecorded('bad_request')
  if (asked.permit === undefined) return answer({ kind: 'permit', peer })
  if (asked.permit !== 'granted') return answer({ kind: 'refused', refusal: asked.permit })
  // Only now: while the permit was on its way, command 1 may have made the room.
  if (command.n > 1)
    return command.low > 1
      ? refuseUnrecorded('unknown_lineage')
      : refuseUnrecorded('out_of_order', '1')

  const users = user === peer ? [user] : [user, peer]
  const created = event(
    state,
    asked,
    'created',
    createdBody({
      title: '',
      openHistory: true,
      members: users.map((one) => [one, ROLE.member] as const),
    }),
    undefined,
  )
  const message = event(state, asked, 'message', messageBody(command.text), command, 1)
  return { records: [created, message], answer: ackOf(message) }
}
