/** A user in memory: the fold of their inbox, what of it is not stored yet, and their sessions. */
import type { DeviceId, GatewayId, Incarnation, UserId } from '../ids.ts'
import type { Handle } from '../protocol/envelopes.ts'
import type { UserEntry } from './behavior.ts'

export type Session = {
  readonly gateway: GatewayId
  readonly handle: Handle
  readonly device: DeviceId
  readonly generation: number
  /** Monotonic ms. */
  readonly openedAt: number
  beatAt: number
  /** Inbox position up to which its gateway has the user's pointers, as the gateway last said. */
  position: number
}

/** Work that waits until the user's stored entries are read. */
export type Waiting = () => void

export class UserActor<State> {
  readonly id: UserId
  state: State
  loaded = false
  loading = false
  readonly waiting: Waiting[] = []
  /** Entries that the store does not have yet, the newest of each key. */
  readonly unsaved = new Map<string, UserEntry>()
  /** Entries that were stored while the rows were being read. */
  readonly stored: UserEntry[] = []
  sessions: Session[] = []
  /** Hosts that hold a lease on this user's routes, and until when (monotonic ms). */
  readonly lessees = new Map<Incarnation, number>()
  usedAt = 0
  /** When all tombstones of left rooms that were due had been dropped, monotonic ms. */
  lookedAt: number | undefined

  constructor(id: UserId, state: State) {
    this.id = id
    this.state = state
  }

  session(gateway: GatewayId, handle: Handle): Session | undefined {
    return this.sessions.find((s) => s.handle === handle && s.gateway === gateway)
  }

  /** True when nothing would be missed if it were dropped. */
  idle(now: number, before: number): boolean {
    for (const [host, until] of this.lessees) if (until < now) this.lessees.delete(host)
    return (
      this.usedAt < before &&
      this.sessions.length === 0 &&
      this.unsaved.size === 0 &&
      this.lessees.size === 0 &&
      !this.loading &&
      this.waiting.length === 0
    )
  }
}
