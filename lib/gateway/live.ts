/**
 * Which users are here, and their frames on `live.<uid>`: subscribed from before the user's actor is asked, so that
 * nothing falls between its answer and the first frame, until the last session of the user is gone.
 */
import type { Bus, Message, Unsubscribe } from '../bus/bus.ts'
import type { GatewayId, UserId } from '../ids.ts'
import { type Handle, readLive } from '../protocol/envelopes.ts'
import { liveSubject } from '../subjects.ts'
import type { Session } from './session.ts'

type Present = { readonly sessions: Session[]; readonly unsubscribe: Unsubscribe }

export class Live {
  readonly #bus: Bus
  readonly #gateway: GatewayId
  readonly #deliver: (session: Session, frame: Uint8Array) => void
  readonly #bad: (error: unknown) => void
  readonly #users = new Map<UserId, Present>()

  constructor(
    bus: Bus,
    gateway: GatewayId,
    deliver: (session: Session, frame: Uint8Array) => void,
    bad: (error: unknown) => void,
  ) {
    this.#bus = bus
    this.#gateway = gateway
    this.#deliver = deliver
    this.#bad = bad
  }

  get users(): number {
    return this.#users.size
  }

  sessionsOf(user: UserId): readonly Session[] {
    return this.#users.get(user)?.sessions ?? []
  }

  join(session: Session): void {
    const present = this.#users.get(session.user)
    if (present !== undefined) {
      present.sessions.push(session)
      return
    }
    const sessions = [session]
    const unsubscribe = this.#bus.subscribe(liveSubject(session.user), (message) =>
      this.#onMessage(sessions, message),
    )
    this.#users.set(session.user, { sessions, unsubscribe })
  }

  leave(session: Session): void {
    const present = this.#users.get(session.user)
    if (present === undefined) return
    const at = present.sessions.indexOf(session)
    if (at < 0) return
    present.sessions.splice(at, 1)
    if (present.sessions.length > 0) return
    this.#users.delete(session.user)
    present.unsubscribe()
  }

  #onMessage(sessions: readonly Session[], message: Message): void {
    try {
      readLive(message.data, (gateway, handle, frame) =>
        this.#each(sessions, gateway, handle, frame),
      )
    } catch (error) {
      this.#bad(error)
    }
  }

  #each(
    sessions: readonly Session[],
    gateway: GatewayId | undefined,
    handle: Handle,
    frame: Uint8Array,
  ): void {
    const here = gateway === this.#gateway
    // A copy is not needed: delivering never changes the list within this turn but by closing, from the end.
    for (let i = sessions.length - 1; i >= 0; i--) {
      const session = sessions[i]
      if (session !== undefined && !(here && session.handle === handle)) {
        this.#deliver(session, frame)
      }
    }
  }
}
