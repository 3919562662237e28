/** Accounts by the HTTP API, and a device of one as a session of bare frames (PROTOCOL 3, 6). */
import { type ErrorCode, errorByNumber } from '../../lib/errors.ts'
import type { DeviceId, RoomId, UserId } from '../../lib/ids.ts'
import { readFrames } from '../../lib/protocol/codec.ts'
import type { AnyFrame, Cursor, Frame, Pointer } from '../../lib/protocol/frames.ts'
import { eventually } from '../../lib/testing/eventually.ts'
import type { Mode } from './mode.ts'
import type { Server } from './server.ts'
import { type Asked, type Closed, type Reply, Wire } from './wire.ts'

const SOON = { within: 30_000 }

export type Login = {
  readonly handle: string
  readonly password: string
  readonly user: UserId
  readonly device: DeviceId
  readonly accessToken: string
  readonly refreshToken: string
}

/** Calls the API; answers the status and the body. */
export const call = async (
  server: Server,
  method: string,
  path: string,
  { body, token }: { body?: object; token?: string } = {},
): Promise<{ status: number; body: Record<string, unknown> }> => {
  const answer = await fetch(server.api + path, {
    method,
    headers: {
      ...(body && { 'content-type': 'application/json' }),
      ...(token && { authorization: `Bearer ${token}` }),
    },
    ...(body && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  })
  const text = await answer.text()
  return { status: answer.status, body: text === '' ? {} : JSON.parse(text) }
}

const enter = async (server: Server, verb: string, handle: string): Promise<Login> => {
  const password = `${handle} is here`
  const { status, body } = await call(server, 'POST', `/v1/${verb}`, { body: { handle, password } })
  if (status >= 300) throw new Error(`${verb} ${handle}: ${status} ${JSON.stringify(body)}`)
  return { ...(body as unknown as Login), handle, password }
}

export const register = (server: Server, handle: string) => enter(server, 'register', handle)
/** A further device of a registered user. */
export const login = (server: Server, handle: string) => enter(server, 'login', handle)

export type HelloOptions = {
  /** Default: cursor. */
  readonly mode?: Mode
  readonly token?: string
  readonly cursor?: Cursor | null
  readonly lineage?: number | null
}

/** Sends a `hello`; the answer, and how the connection ended if it was refused. */
export const hello = async (
  server: Server,
  { token = '', cursor = null, lineage = null }: HelloOptions,
): Promise<{ wire: Wire; reply: Reply; closed?: Closed }> => {
  const wire = await Wire.open(server.gateway)
  const reply = await wire.ask('hello', { version: 1, token, cursor, lineage })
  return reply.name === 'welcome' ? { wire, reply } : { wire, reply, closed: await wire.closed }
}

/** The code of a refusal; undefined of any other answer. */
export const codeOf = (reply: Reply): ErrorCode | undefined =>
  reply.name === 'error' ? errorByNumber(reply.code) : undefined

type Event = Extract<AnyFrame, { name: 'event' }>
export type Queued = Extract<AnyFrame, { name: 'queued' }>

const isQueued = (frame: AnyFrame): frame is Queued => frame.name === 'queued'

/** Events of a room that an entry brings. */
export const eventsIn = ({ events }: Queued, room: RoomId): Event[] =>
  events
    .flatMap((bytes) => [...readFrames(bytes)])
    .filter((frame): frame is Event => frame.name === 'event' && frame.room === room)

export class Device {
  readonly login: Login
  readonly wire: Wire
  readonly welcome: Frame<'welcome'>
  readonly #mode: Mode

  private constructor(login: Login, wire: Wire, welcome: Frame<'welcome'>, mode: Mode) {
    this.login = login
    this.wire = wire
    this.welcome = welcome
    this.#mode = mode
  }

  /** @throws Error when it is not welcomed */
  static async open(server: Server, login: Login, options: HelloOptions = {}): Promise<Device> {
    const { wire, reply } = await hello(server, { token: login.accessToken, ...options })
    if (reply.name !== 'welcome') throw new Error(`${login.handle}: ${codeOf(reply)}`)
    const device = new Device(login, wire, reply, options.mode ?? 'cursor')
    if (options.mode === 'queue') await device.#keepQueue()
    return device
  }

  /** The server keeps its place from now on; every entry is acknowledged as it comes. */
  async #keepQueue(): Promise<void> {
    const take = (frame: AnyFrame): void => {
      // What is not acknowledged when the connection ends comes again.
      if (isQueued(frame)) this.wire.ask('queueAck', { n: frame.n }).catch(() => {})
    }
    this.wire.pushed.forEach(take)
    this.wire.onPushed(take)
    const reply = await this.wire.ask('queue', { on: true })
    if (reply.name !== 'ok') throw new Error(`${this.login.handle}: queue: ${codeOf(reply)}`)
  }

  /** Entries of its durable queue, in the order in which they came. */
  get queued(): Queued[] {
    return this.wire.pushed.filter(isQueued)
  }

  get user(): UserId {
    return this.welcome.user
  }

  get lineage(): number {
    return this.welcome.lineage
  }

  /** A numbered command of this device's lineage, nothing before it being unsettled. */
  numbered(
    room: RoomId,
    n: number,
    join = 0,
  ): Pick<Asked<'leave'>, 'room' | 'lineage' | 'join' | 'n' | 'low'> {
    return { room, lineage: this.lineage, join, n, low: n }
  }

  /** `peer`: the other side of a dm. */
  send(
    room: RoomId,
    n: number,
    text: string,
    { join = 0, low = n, peer = null }: { join?: number; low?: number; peer?: UserId | null } = {},
  ): Promise<Reply> {
    return this.wire.ask('send', { ...this.numbered(room, n, join), low, text, peer })
  }

  /** The first page upwards from `from`. @throws Error when it is refused */
  async fetch(room: RoomId, from = 1): Promise<Frame<'page'>> {
    const page = await this.wire.ask('fetch', { room, from, limit: 256, back: false })
    if (page.name !== 'page') throw new Error(`fetch: ${codeOf(page)}`)
    return page
  }

  /** The newest pointer of a room that keeps this device's place, as soon as `fits` says so. */
  pointer(room: RoomId, what: string, fits: (pointer: Pointer) => boolean): Promise<Pointer> {
    return eventually(
      `the pointer ${what}`,
      () =>
        this.#told()
          .filter((pointer) => pointer.room === room)
          .sort((a, b) => b.version - a.version)
          .slice(0, 1)
          .find(fits),
      SOON,
    )
  }

  #told(): Pointer[] {
    if (this.#mode === 'queue') return this.queued.flatMap(({ pointer }) => pointer ?? [])
    const changes = (frame: AnyFrame) => (frame.name === 'changes' ? frame.changes : [])
    return [...this.welcome.changes, ...this.wire.pushed.flatMap(changes)]
  }

  /** The event came live and, where there is a queue, in it too. */
  async sees(room: RoomId, seq: number): Promise<void> {
    const brings = (events: readonly Event[]) => events.some((event) => event.seq === seq)
    const who = this.login.handle
    await eventually(`${who} sees ${seq} live`, () => brings(this.live(room)), SOON)
    if (this.#mode === 'cursor') return
    const queued = () => this.queued.some((entry) => brings(eventsIn(entry, room)))
    await eventually(`the queue of ${who} brings ${seq}`, queued, SOON)
  }

  /** Events of a room that came live, in the order in which they came. */
  live(room: RoomId): Event[] {
    return this.wire.pushed.filter(
      (frame): frame is Event => frame.name === 'event' && frame.room === room,
    )
  }

  /** Tells each event of a room that comes from now on, live or in an entry of the queue. The result ends that. */
  onEvent(room: RoomId, listener: (event: Event) => void): () => void {
    return this.wire.onPushed((frame) => {
      if (isQueued(frame)) eventsIn(frame, room).forEach(listener)
      if (frame.name === 'event' && frame.room === room) listener(frame)
    })
  }

  close(): Promise<void> {
    return this.wire.close()
  }
}
