/** The room actor: a dm or a group, as the runtime drives it. */
import type { RoomBehavior } from '../../lib/actor/behavior.ts'
import { decide } from './decide.ts'
import { evolve } from './evolve.ts'
import { pointer } from './pointer.ts'
import { decode, encode } from './snapshot.ts'
import { DEFAULT_LIMITS, emptyRoom, type Room, type RoomLimits } from './state.ts'

export type { Room, RoomLimits } from './state.ts'

export const createRoomBehavior = (limits: RoomLimits = DEFAULT_LIMITS): RoomBehavior<Room> => ({
  empty: emptyRoom,
  decide: (state, command, asked) => decide(state, command, asked, limits),
  evolve,
  pointer,
  head: (state) => state.head,
  encode,
  decode,
})

export const room = createRoomBehavior()
