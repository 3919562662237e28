/**
 * Finds commands again in the history of their room, when the room has forgotten what became of them (contracts N3, N4).
 * An event has no command number, so content and order decide: the events of this user that say what the commands say,
 * in the order of the commands, each after the head that the app knew when it gave the command and between the acks of
 * its neighbours; as many as can be.
 * The same words sent from another device in the meantime cannot be told apart.
 */
import type { UserId } from '../ids.ts'
import type { Command } from './command.ts'
import type { RoomEvent } from './events.ts'

type Sought = { readonly command: Command; readonly after: number; readonly before: number }

/** True when `event` could be what `sought` led to. */
const pairs = ({ command, after, before }: Sought, event: RoomEvent): boolean =>
  event.seq > after && event.seq < before && fits(command, event)

/** True when `event` says what `command` says. */
export const fits = (command: Command, event: RoomEvent): boolean => {
  switch (command.name) {
    case 'send':
      return event.kind === 'message' && event.text === command.text
    case 'create':
      return event.kind === 'created'
    case 'add':
      return event.kind === 'added' && event.users.every((user) => command.users.includes(user))
    case 'remove':
      return event.kind === 'removed' && event.user === command.user
    case 'leave':
      return event.kind === 'left'
    case 'role':
      return event.kind === 'role' && event.user === command.user
  }
}

/** The events that matter, of those of one room in ascending order. */
export const candidates = (
  sought: readonly Sought[],
  events: readonly RoomEvent[],
  me: UserId,
): RoomEvent[] =>
  events.filter((event) => event.sender === me && sought.some((one) => pairs(one, event)))

/** Longest common subsequence of `sought` and `events`; of equally long ones that of the earliest events. */
export const match = <S extends Sought>(
  sought: readonly S[],
  events: readonly RoomEvent[],
): Map<S, RoomEvent> => {
  const width = events.length + 1
  const best = new Uint16Array((sought.length + 1) * width)
  for (let i = sought.length - 1; i >= 0; i--) {
    for (let j = events.length - 1; j >= 0; j--) {
      const skip = Math.max(best[(i + 1) * width + j]!, best[i * width + j + 1]!)
      const take = pairs(sought[i]!, events[j]!) ? best[(i + 1) * width + j + 1]! + 1 : 0
      best[i * width + j] = Math.max(skip, take)
    }
  }
  const found = new Map<S, RoomEvent>()
  let i = 0
  let j = 0
  while (i < sought.length && j < events.length) {
    const here = best[i * width + j]!
    if (here === 0) break
    if (pairs(sought[i]!, events[j]!) && best[(i + 1) * width + j + 1]! + 1 === here) {
      found.set(sought[i]!, events[j]!)
      i++
      j++
    } else if (best[i * width + j + 1] === here) j++
    else i++
  }
  return found
}
