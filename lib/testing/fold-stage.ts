/** A fold over an embedded store, on a clock that the test moves. */
import type { UserBehavior } from '../actor/behavior.ts'
import { Fold, type FoldQueues } from '../actor/fold.ts'
import type { UserActor } from '../actor/user-actor.ts'
import type { UserId } from '../ids.ts'
import { readValue } from '../protocol/codec.ts'
import type { Wire } from '../protocol/fields.ts'
import type { Pointer } from '../protocol/frames.ts'
import { POINTER } from '../protocol/pointer.ts'
import { Reader } from '../protocol/reader.ts'
import { inboxMessage } from './pointers.ts'
import type { tempState } from './temp-state.ts'
import { TestClock } from './test-clock.ts'

export type Store = Awaited<ReturnType<typeof tempState>>

export const makeFold = <User>(
  behavior: UserBehavior<User>,
  state: Store,
  given: {
    queues?: FoldQueues
    max?: number
    floor?: number
    onFloor?: () => Promise<void>
  } = {},
) => {
  const clock = new TestClock()
  const floors: number[] = []
  const failures: unknown[] = []
  const poisoned: number[] = []
  const changed: [string[], number][] = []
  const fold = new Fold<User>(
    {
      behavior,
      state,
      monotonic: () => clock.monotonic(),
      saveFloor: async (_p, position) => {
        await given.onFloor?.()
        floors.push(position)
      },
      folded: (users, position) => void changed.push([[...users].map((u) => u.id), position]),
      storeFailed: (_p, _user, cause) => void failures.push(cause),
      poisoned: (_p, position) => void poisoned.push(position),
    },
    3,
    given.floor ?? 0,
    given.queues,
    given.max,
  )
  return { fold, clock, floors, failures, poisoned, changed }
}

export const loaded = <User>(fold: Fold<User>, id: UserId): Promise<UserActor<User>> =>
  new Promise((resolve, reject) =>
    fold.withUser(id, resolve, () => reject(new Error('not readable'))),
  )

export const decode = (bytes: Uint8Array): Pointer =>
  readValue(new Reader(bytes), POINTER as unknown as Wire) as Pointer

/** Versions and inbox positions of a user's pointers. */
export const stateOf = ({
  pointers,
}: {
  readonly pointers: ReadonlyMap<string, { readonly version: number; readonly position: number }>
}) =>
  Object.fromEntries(
    [...pointers].map(([key, { version, position }]) => [key, { version, position }]),
  )

export const storedVersions = async (state: Store, id: UserId) =>
  Object.fromEntries((await state.user(id)).map(({ key, position }) => [key, position]))

export const one = (position: number, user: UserId, pointer: Pointer) => ({
  position,
  data: inboxMessage({ user, pointer }),
})
