/**
 * What a room is. Owned by the room actor: only evolve.ts (and snapshot.ts, which restores it) writes to it.
 *
 * - `head`, `ord` and `time` never fall; `ord` ≤ `head`.
 * - A room with `head` 0 does not exist yet; one with a head and no members is a tombstone (contracts N5).
 * - A user is in `members` or in `former`, never in both.
 */
import type { RoomId, UserId } from '../../lib/ids.ts'
import { LIMITS } from '../../lib/protocol/frames.ts'
import { type Lineages, newLineages } from './lineages.ts'

export const ROLE = { member: 0, admin: 1, owner: 2 } as const
export type Role = (typeof ROLE)[keyof typeof ROLE]

/** What is configured; what evolve needs is constant, since every host must fold alike. */
export type RoomLimits = {
  /** Members of a group, its creator included. */
  readonly members: number
}
export const DEFAULT_LIMITS: RoomLimits = { members: LIMITS.members }

/** Users who left of whom the room knows what they may still see; past it the one longest gone is forgotten. */
export const FORMER_KEPT = 1024
/** Of so many of them, the last to go, it also knows the outcomes of commands and the preview. */
export const FORMER_DETAILED = 64

export type Member = {
  readonly user: UserId
  role: Role
  /** Sequence of the join, 0 for the two of a dm and a group's creator (contracts N1). */
  readonly join: number
  /** First sequence that they may see. */
  readonly from: number
  read: number
  readOrd: number
  readonly lineages: Lineages
  /** Of the stay before this one, so that a resend of what was accepted then is not told no. */
  readonly earlier: Stay | undefined
}

export type Stay = { readonly join: number; readonly lineages: Lineages }

export type Former = Stay & {
  readonly user: UserId
  readonly from: number
  /** Sequence, `ord`, time and sender of the event that ended the stay: the last one they see. */
  readonly to: number
  readonly ord: number
  readonly time: number
  readonly sender: UserId
  readonly read: number
  readonly readOrd: number
  preview: string | null
}

export type Room = {
  readonly id: RoomId
  head: number
  ord: number
  time: number
  /** Of `head`. */
  sender: UserId | undefined
  title: string
  openHistory: boolean
  /** In order of joining. */
  readonly members: Map<UserId, Member>
  /** Keys of `members`; replaced, never changed. */
  recipients: readonly UserId[]
  /** In order of leaving. */
  readonly former: Map<UserId, Former>
  /** Sequence of the newest message, 0 for none. */
  newest: number
  /** Its body or the beginning of it, until `preview` is made of it. */
  newestBody: Uint8Array | undefined
  preview: string
}

export const emptyRoom = (id: RoomId): Room => ({
  id,
  head: 0,
  ord: 0,
  time: 0,
  sender: undefined,
  title: '',
  openHistory: false,
  members: new Map(),
  recipients: [],
  former: new Map(),
  newest: 0,
  newestBody: undefined,
  preview: '',
})

export const newMember = (
  user: UserId,
  role: Role,
  join: number,
  from: number,
  at: { seq: number; ord: number },
  earlier?: Stay,
): Member => ({
  user,
  role,
  join,
  from,
  read: at.seq,
  readOrd: at.ord,
  lineages: newLineages(),
  earlier,
})

export const isDeleted = (state: Room): boolean => state.head > 0 && state.members.size === 0

/** What a user may see: sequences `from` … `head`. */
export type Sight = { readonly from: number; readonly head: number; readonly ord: number }

export const sightOf = (state: Room, user: UserId): Sight | undefined => {
  const member = state.members.get(user)
  if (member !== undefined) return { from: member.from, head: state.head, ord: state.ord }
  const gone = state.former.get(user)
  return gone && { from: gone.from, head: gone.to, ord: gone.ord }
}
