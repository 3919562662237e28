/**
 * The sessions of a partition's users: admission, what changed since a cursor, beats, routes (contracts I4, I6, R2,
 * R3).
 */
import { CLOSE, ParleyError, type Refusal, refuse } from '../errors.ts'
import type { DeviceId, GatewayId, Incarnation, UserId } from '../ids.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { encodeAdmitted, type UserCommand } from '../protocol/user-commands.ts'
import { Writer } from '../protocol/writer.ts'
import { sendRefusal } from './answers.ts'
import type { Changes, UserBehavior } from './behavior.ts'
import { changesFrame, writeChanges } from './changes-frame.ts'
import type { Fold } from './fold.ts'
import type { Origin, Outbound } from './outbound.ts'
import { LEASE_MS, type SessionRoute } from './routes.ts'
import type { Session, UserActor } from './user-actor.ts'

/** How often gateways say that a session lives. */
export const BEAT_MS = 5000
/** A session without a beat for this long is gone. */
const LOST_MS = 4 * BEAT_MS
/** While a session is younger, hosts may not know of it and its pointers are pushed as they come (contracts R3). */
const YOUNG_MS = LEASE_MS + 250 + 2000
/** Sessions that one device may have at once. */
export const SESSIONS_OF_DEVICE = 8
/** A hello whose account record has not come by yet waits this long. */
const ACCOUNT_MS = 1500
/** Hellos that may wait for account records. */
const MAX_LATE = 10_000

export type SessionsContext<State> = {
  readonly behavior: UserBehavior<State>
  readonly outbound: Outbound
  monotonic(): number
  nextLineage(): number
  /**
   * Lets an answer leave when this host is proven to be the owner; when that takes too long, `req` is refused for now
   * instead.
   */
  answer(origin: Origin, run: () => void, req: number): void
  /** Tells a host that holds a lease. */
  tell(host: Incarnation, user: UserId, sessions: readonly SessionRoute[]): void
}

/** The durable queues of this partition's users (queues.ts). */
export type DeviceQueues = {
  has(user: UserId, device: DeviceId): boolean
  /** @throws ParleyError limit, unavailable */
  start(user: UserId, device: DeviceId, folded: () => number): Promise<void>
  /** @throws ParleyError unavailable */
  end(user: UserId, device: DeviceId): Promise<void>
}

type LateHello = {
  readonly origin: Origin
  readonly command: UserCommand & { name: 'hello' }
  readonly until: number
}

export class Sessions<State> {
  readonly #context: SessionsContext<State>
  readonly #fold: Fold<State>
  readonly #stream: string
  readonly #queues: DeviceQueues | undefined
  /** When this host began to serve, monotonic ms. */
  #since: number | undefined
  /** By session: a hello that is sent again waits no longer for it. */
  readonly #late = new Map<string, LateHello>()

  /** `stream` is the incarnation of the inbox's stream. */
  constructor(
    context: SessionsContext<State>,
    fold: Fold<State>,
    stream: string,
    queues?: DeviceQueues,
  ) {
    this.#context = context
    this.#fold = fold
    this.#stream = stream
    this.#queues = queues
  }

  execute(origin: Origin, command: UserCommand): void {
    switch (command.name) {
      case 'hello':
        this.#with(origin, command.req, (user) => {
          this.#hello(user, { origin, command, until: this.#context.monotonic() + ACCOUNT_MS })
        })
        break
      case 'sync':
        this.#with(origin, command.req, (user) => {
          const changes = this.#changes(user, command.cursor)
          this.#final(origin, changesFrame(command.req, changes), command.req)
        })
        break
      case 'bye':
        this.#bye(origin)
        break
      case 'mayDm':
        this.#with(origin, 0, (user) => {
          const permit = this.#context.behavior.mayDm(user.state, command.from)
          if (permit === 'granted') this.#final(origin, encodeFrame('ok', { req: 0 }), 0)
          else this.#refuse(origin, 0, permit)
        })
        break
      case 'queue':
        this.#with(origin, command.req, (user) => void this.#queue(user, origin, command))
        break
      case 'routes':
        sendRefusal(origin, 0, refuse('bad_request'))
        break
    }
  }

  #with(origin: Origin, req: number, work: (user: UserActor<State>) => void): void {
    this.#fold.withUser(origin.user, work, () => {
      if (this.#fold.stopped) origin.outlet.moved(origin.token, origin.attempt)
      else sendRefusal(origin, req, UNREADABLE)
    })
  }

  #hello(user: UserActor<State>, late: LateHello): void {
    const { origin, command, until } = late
    const { behavior, monotonic } = this.#context
    const admitted = behavior.admit(user.state, origin.device, command.generation)
    if (admitted !== 'admitted') {
      const waits = admitted.refused === 'unavailable' && monotonic() < until
      // The record follows its PubAck within milliseconds.
      if (waits && this.#late.size < MAX_LATE) this.#wait(late)
      else this.#refuse(origin, command.req, admitted)
      return
    }
    const lineage = this.#lineage(command.wantsLineage)
    if (lineage === undefined) {
      sendRefusal(origin, command.req, NO_LINEAGE)
      return
    }
    const changes = this.#changes(user, command.cursor)
    this.#add(user, origin, command.generation, changes.cursor.position)
    const queue = this.#queues?.has(user.id, origin.device) === true
    const rest = writeChanges(new Writer(1024), changes).take()
    const frame = encodeAdmitted({ lineage, queue, rest })
    this.#final(origin, frame, command.req)
  }

  /** 0 when none is wanted; undefined while none can be made. */
  #lineage(wanted: boolean): number | undefined {
    if (!wanted) return 0
    try {
      return this.#context.nextLineage()
    } catch {
      return undefined
    }
  }

  #wait(late: LateHello): void {
    const key = keyOf(late.origin)
    const until = Math.min(late.until, this.#late.get(key)?.until ?? late.until)
    this.#late.set(key, { ...late, until })
  }

  #mayStay(user: UserActor<State>, { device, generation }: Session): boolean {
    const admitted = this.#context.behavior.admit(user.state, device, generation)
    return admitted === 'admitted' || admitted.refused === 'unavailable'
  }

  async #queue(
    user: UserActor<State>,
    origin: Origin,
    command: UserCommand & { name: 'queue' },
  ): Promise<void> {
    const { req, on } = command
    const { device } = origin
    const queues = this.#queues
    // Only who was admitted may cost the cluster a consumer.
    const known = user.sessions.find((session) => session.device === device)
    if (queues === undefined || known === undefined || !this.#mayStay(user, known)) {
      sendRefusal(origin, req, refuse('unavailable', undefined, 500))
      return
    }
    const had = queues.has(user.id, device)
    try {
      if (on) {
        await queues.start(user.id, device, () => this.#fold.position)
        // Removed meanwhile: of records that came before its start the queue knows nothing.
        if (!had && !this.#mayStay(user, known)) await queues.end(user.id, device)
      } else await queues.end(user.id, device)
    } catch (error) {
      const code = error instanceof ParleyError ? error.code : 'unavailable'
      const detail = code === 'limit' ? 'No more durable queues: use cursor sync.' : undefined
      this.#refuse(origin, req, refuse(code, detail, code === 'limit' ? undefined : 500))
      return
    }
    this.#final(origin, encodeFrame('ok', { req }), req)
  }

  #final(origin: Origin, frame: Uint8Array, req: number): void {
    const { outlet, token, attempt } = origin
    this.#context.answer(origin, () => outlet.final(token, attempt, frame), req)
  }

  #refuse(origin: Origin, req: number, refusal: Refusal): void {
    this.#context.answer(origin, () => sendRefusal(origin, req, refusal), req)
  }

  #add(user: UserActor<State>, origin: Origin, generation: number, position: number): void {
    if (origin.gateway === undefined) return
    const now = this.#context.monotonic()
    const known = user.session(origin.gateway, origin.handle)
    if (known !== undefined) {
      known.beatAt = now
      return
    }
    // Several tabs share a device (contracts N6), but a device that leaves sessions behind must not pile them up.
    const own = user.sessions.filter((session) => session.device === origin.device)
    const oldest = own.length < SESSIONS_OF_DEVICE ? undefined : own[0]
    if (oldest !== undefined) {
      this.#kick(oldest, CLOSE.replaced.number)
      user.sessions = user.sessions.filter((session) => session !== oldest)
    }
    user.sessions.push({
      gateway: origin.gateway,
      handle: origin.handle,
      device: origin.device,
      generation,
      openedAt: now,
      beatAt: now,
      position,
    })
    this.#tell(user)
  }

  #bye(origin: Origin): void {
    this.#late.delete(keyOf(origin))
    const user = this.#fold.user(origin.user)
    // Its hello may wait for the rows; a session that nobody holds must not come of it.
    if (user.loading) user.waiting.push(() => this.#close(user, origin))
    else this.#close(user, origin)
  }

  #close(user: UserActor<State>, origin: { gateway: GatewayId | undefined; handle: number }): void {
    const left = user.sessions.filter(
      (s) => s.handle !== origin.handle || s.gateway !== origin.gateway,
    )
    if (left.length === user.sessions.length) return
    user.sessions = left
    this.#tell(user)
  }

  #kick(session: Session, code: number): void {
    this.#context.outbound.outlet(session.gateway).kick(code, [session.handle])
  }

  /** A gateway says that a session lives, and what it has of its user's pointers. */
  beat(
    user: UserId,
    gateway: GatewayId,
    handle: number,
    device: DeviceId,
    generation: number,
    position: number,
  ): void {
    this.#fold.withUser(
      user,
      (actor) => {
        const admitted = this.#context.behavior.admit(actor.state, device, generation)
        const known = actor.session(gateway, handle)
        if (admitted !== 'admitted' && admitted.refused !== 'unavailable') {
          this.#context.outbound.outlet(gateway).kick(CLOSE[closeOf(admitted)].number, [handle])
          return
        }
        const origin = { gateway, handle, device } as Origin
        if (known === undefined) this.#add(actor, origin, generation, position)
        const session = actor.session(gateway, handle)
        if (session === undefined) return
        session.beatAt = this.#context.monotonic()
        // Past the end: of a stream that was there before this one.
        if (position > this.#fold.position) session.position = 0
        else session.position = Math.max(session.position, position)
        if (this.#context.behavior.newest(actor.state) > session.position)
          this.#push(actor, session)
      },
      () => {},
    )
  }

  #changes(user: UserActor<State>, cursor: { stream: string; position: number } | null): Changes {
    return this.#context.behavior.changes(user.state, cursor, this.#stream, this.#fold.position)
  }

  /**
   * Everything since the position that its gateway last confirmed: a push that is lost on the way is made good by the
   * next one.
   */
  #push(user: UserActor<State>, session: Session): void {
    const changes = this.#changes(user, { stream: this.#stream, position: session.position })
    if (changes.pointers.length === 0) return
    // Of more than a page the device asks for the rest with the cursor in it.
    this.#context.outbound
      .outlet(session.gateway)
      .pointers(changes.cursor.position, changesFrame(0, changes), [session.handle])
  }

  /** The inbox brought something for these users. */
  folded(users: ReadonlySet<UserActor<State>>): void {
    const now = this.#context.monotonic()
    for (const user of users) {
      if (!user.loaded) continue
      for (const session of user.sessions) {
        const admitted = this.#context.behavior.admit(
          user.state,
          session.device,
          session.generation,
        )
        if (admitted !== 'admitted' && admitted.refused !== 'unavailable') {
          this.#kick(session, CLOSE[closeOf(admitted)].number)
        } else if (now - session.openedAt < YOUNG_MS) this.#push(user, session)
      }
    }
    if (this.#late.size > 0) this.#retryLate()
  }

  #retryLate(): void {
    const waiting = [...this.#late.values()]
    this.#late.clear()
    for (const late of waiting) {
      const { origin, command } = late
      this.#with(origin, command.req, (user) => this.#hello(user, late))
    }
  }

  /** Sessions of a user for a host, which is told of changes while its lease lasts (contracts R2). */
  routes(user: UserId, host: Incarnation): readonly SessionRoute[] | undefined {
    const now = this.#context.monotonic()
    // Younger than a beat: there may be sessions that have not said so yet.
    if (now - (this.#since ?? now) < BEAT_MS + 1000) return undefined
    const actor = this.#fold.user(user)
    actor.lessees.set(host, now + LEASE_MS)
    return actor.sessions
  }

  #tell(user: UserActor<State>): void {
    const now = this.#context.monotonic()
    for (const [host, until] of user.lessees) {
      if (until < now) user.lessees.delete(host)
      else this.#context.tell(host, user.id, user.sessions)
    }
  }

  /** Every 100 ms or so, from when this host serves. */
  pulse(now: number): void {
    this.#since ??= now
    if (this.#late.size > 0) this.#retryLate()
  }

  /** This host's owner no longer: who waits asks the next one (contracts L9). */
  stop(): void {
    for (const { origin } of this.#late.values()) {
      origin.outlet.moved(origin.token, origin.attempt)
    }
    this.#late.clear()
  }

  /** Drops sessions whose gateway has fallen silent. */
  expire(now: number): void {
    for (const user of this.#fold.all()) {
      if (user.sessions.every((session) => now - session.beatAt < LOST_MS)) continue
      user.sessions = user.sessions.filter((session) => now - session.beatAt < LOST_MS)
      this.#tell(user)
    }
  }
}

const UNREADABLE = refuse('unavailable', 'Your data can not be read for now.', 500)

const NO_LINEAGE = refuse('unavailable', 'New devices can not be served for now.', 500)

const keyOf = ({ gateway, handle }: Origin): string => `${gateway}/${handle}`

const closeOf = (refusal: Refusal): 'device_removed' | 'unauthorized' =>
  refusal.refused === 'device_removed' ? 'device_removed' : 'unauthorized'
