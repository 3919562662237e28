/** The user actor: the fold of an inbox (contracts I). Pure; sessions and storage are the runtime's. */

import {
  ACCOUNT_KEY,
  DROPPED_KEY,
  type UserBehavior,
  type UserEntry,
} from '../../lib/actor/behavior.ts'
import { type Refusal, refuse } from '../../lib/errors.ts'
import type { UserId } from '../../lib/ids.ts'
import {
  type AccountRecord,
  admission,
  DM_POLICIES,
  decodeAccount,
} from '../../lib/protocol/account.ts'
import { changesSince } from './changes.ts'
import { tombstonesOf } from './tombstones.ts'

export type User = {
  readonly id: UserId
  readonly pointers: Map<string, UserEntry>
  account: AccountRecord | undefined
  newest: number
  /** Inbox position of the newest tombstone that was dropped. */
  dropped: number
}

export const user: UserBehavior<User> = {
  empty: (id) => ({ id, pointers: new Map(), account: undefined, newest: 0, dropped: 0 }),

  fold: (state, entry) => {
    if (entry.key === ACCOUNT_KEY) {
      if (state.account !== undefined && state.account.version >= entry.version) return false
      state.account = decodeAccount(entry.value)
      return true
    }
    if (entry.key === DROPPED_KEY) {
      if (entry.version <= state.dropped) return false
      state.dropped = entry.version
      state.newest = Math.max(state.newest, state.dropped)
      return true
    }
    const known = state.pointers.get(entry.key)
    // I1: pointers come repeated and unordered; the higher version is the newer state of the room.
    if (known !== undefined && known.version >= entry.version) return false
    state.pointers.set(entry.key, entry)
    if (entry.position > state.newest) state.newest = entry.position
    return true
  },

  admit: (state, device, generation) => {
    const reason = admission(state.account, device, generation)
    if (reason === undefined) return 'admitted'
    return reason === 'unavailable'
      ? refuse('unavailable', 'This account is not known here yet.', 500)
      : refuse(reason)
  },

  changes: (state, cursor, stream, head) =>
    changesSince(state.pointers.values(), cursor, stream, head, state.dropped),

  tombstones: (state, before, upTo) => tombstonesOf(state.pointers.values(), before, upTo),

  drop: (state, entries) => {
    for (const entry of entries) {
      if (state.pointers.get(entry.key) === entry) state.pointers.delete(entry.key)
    }
  },

  newest: (state) => state.newest,

  mayDm: (state, from): 'granted' | Refusal => {
    const { account } = state
    if (account === undefined || !account.exists)
      return refuse('not_found', 'There is no such user.')
    if (from === state.id) return 'granted'
    if (account.blocked.includes(from)) return refuse('blocked')
    return account.policy === DM_POLICIES.everyone ? 'granted' : refuse('blocked')
  },
}
