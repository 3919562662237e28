import { ParleyError } from '../errors.ts'
import { dmId, newGroupId, parseUserId, type RoomId, type UserId } from '../ids.ts'
import type { Grant, Login, Person, Registration } from './api.ts'
import type { Patience } from './ask.ts'
import type { Account } from './cache.ts'
import { Core } from './core.ts'
import type { ClientOptions } from './options.ts'
import type { Hold } from './profile.ts'
import { Room } from './room.ts'
import type { ClientEvents } from './rooms.ts'
import type { State } from './state.ts'
import type { Summary } from './summary.ts'
import { orAborted } from './time.ts'

/** A user by id, or `@handle`. */
export type Who = UserId | `@${string}`

/**
 * One device of a user: connects, stays connected, sends exactly once and in order, receives without a hole.
 *
 * @example
 * const client = new Client({ api: 'http://127.0.0.1:8080' })
 * await client.login({ handle: 'alice', password })
 * client.on('message', ({ sender, text }) => console.log(sender, text))
 * await client.connect()
 * const room = await client.dm('@bob')
 * await room.send('Hello')
 */
export class Client {
  readonly #core: Core

  constructor(options: ClientOptions) {
    this.#core = new Core(options)
  }

  /** The result takes the listener away. */
  on<Name extends keyof ClientEvents>(
    name: Name,
    listener: (value: ClientEvents[Name]) => void,
  ): () => void {
    return this.#core.emitter.on(name, listener)
  }

  get state(): State {
    return this.#core.connection.state
  }

  /** Why there is no connection, when there is none. */
  get reason(): ParleyError | undefined {
    return this.#core.connection.reason
  }

  /** Who this is, once connected. */
  get user(): UserId | undefined {
    return this.#core.me
  }

  /** What was given to send and is not settled. */
  get pending(): number {
    return this.#core.outbox.size
  }

  /** Whether this client runs the outbox of its profile. */
  get outbox(): Hold {
    return this.#core.profile.hold
  }

  /** Opens the profile without connecting, and tells whether this client has its outbox. */
  async open(): Promise<Hold> {
    await this.#core.open()
    return this.outbox
  }

  /** Resolves once this client has the profile's outbox. @throws the signal's reason when it aborts first. */
  async held({ signal }: Patience = {}): Promise<void> {
    await this.#core.open()
    await orAborted(this.#core.profile.held(), signal)
  }

  /** Who is logged in on this device. */
  account(): Promise<Account | undefined> {
    return this.#core.cache.account()
  }

  /** Makes an account, and this a device of it. @throws ParleyError for instance `exists` */
  register(registration: Registration): Promise<Account> {
    return this.#become(registration.handle, () => this.#core.api.register(registration))
  }

  /** Makes this a new device of an account. @throws ParleyError `unauthorized` */
  login(login: Login): Promise<Account> {
    return this.#become(login.handle, () => this.#core.api.login(login))
  }

  async #become(handle: string, ask: () => Promise<Grant>): Promise<Account> {
    const { cache, credentials, profile } = this.#core
    if (this.state !== 'idle' && this.state !== 'closed') {
      throw new ParleyError('bad_request', { detail: 'Log in before connecting.' })
    }
    await this.#core.open()
    if (profile.hold !== 'held') {
      throw new ParleyError('unavailable', { detail: 'Another client has this profile open.' })
    }
    if (cache.saved.items.size > 0) {
      const detail = `${cache.saved.items.size} messages of this profile wait to be sent.`
      throw new ParleyError('conflict', { detail })
    }
    const grant = await ask()
    // A login is a new device: nothing of the old one may go on, least of all its lineage (contracts N6).
    await cache.reset()
    return credentials.granted(handle, grant)
  }

  /** Ends this device at the server, and forgets all of it here. */
  async logout({ signal = AbortSignal.timeout(30_000) }: Patience = {}): Promise<void> {
    const { api, cache, credentials, connection } = this.#core
    await this.#core.open()
    connection.close()
    await api.logout(await credentials.access(signal))
    await cache.reset()
    await cache.saveAccount(undefined)
  }

  /**
   * Resolves once connected and the list of rooms is right; stays connected from then on. With `within` (ms) it gives up
   * waiting, not connecting: `close` ends that.
   * @throws ParleyError when the server refuses for good, or the time is over.
   */
  connect(patience: Patience = {}): Promise<void> {
    return this.#core.connect(patience)
  }

  /** Cuts a wait for the next try short, for instance when the network is back. */
  hurry(): void {
    if (this.state === 'waiting') this.#core.connection.connect()
  }

  /** Resolves once nothing is known to be missing in the followed rooms. */
  caughtUp({ signal }: Patience = {}): Promise<void> {
    const { gaps, signal: life } = this.#core
    return orAborted(gaps.settled(), signal ? AbortSignal.any([life, signal]) : life)
  }

  /** Resolves once everything that was given to send is settled. */
  idle({ signal }: Patience = {}): Promise<void> {
    const { outbox, signal: life } = this.#core
    return orAborted(outbox.idle(), signal ? AbortSignal.any([life, signal]) : life)
  }

  /** The list of rooms, newest first. */
  rooms(): Summary[] {
    const rooms = [...this.#core.cache.saved.pointers.keys()]
    return rooms
      .map((room) => this.#core.rooms.summary(room))
      .filter((summary) => summary !== undefined)
      .sort((a, b) => b.time - a.time)
  }

  room(id: RoomId): Room {
    return new Room(this.#core, id)
  }

  /** The conversation with a user; it comes to be with its first message. @throws ParleyError `not_found` */
  async dm(who: Who): Promise<Room> {
    const peer = await this.find(who)
    return new Room(this.#core, dmId(this.#core.user(), peer), peer)
  }

  /** The id of a user. @throws ParleyError `not_found`, `bad_request` */
  async find(who: Who): Promise<UserId> {
    const { api, credentials, signal } = this.#core
    if (who.startsWith('@'))
      return (await api.person(who.slice(1), await credentials.access(signal))).user
    const user = parseUserId(who)
    if (user === undefined) {
      throw new ParleyError('bad_request', { detail: `Neither a user id nor @handle: ${who}` })
    }
    return user
  }

  /** Handles and names of users, by id. Those that do not exist are left out. */
  async people(users: readonly UserId[]): Promise<Person[]> {
    const { api, credentials, signal } = this.#core
    const people: Person[] = []
    for (let at = 0; at < users.length; at += 100) {
      const some = users.slice(at, at + 100)
      people.push(...(await api.people(some, await credentials.access(signal))))
    }
    return people
  }

  /** Makes a group. A retry after a cut cannot make a second one. @throws ParleyError */
  async createGroup({
    title,
    members = [],
    openHistory = false,
  }: {
    title: string
    members?: readonly Who[]
    /** Members added later may read from the start. */
    openHistory?: boolean
  }): Promise<Room> {
    const { outbox, options } = this.#core
    if (options.outbox === 'never') {
      throw new ParleyError('bad_request', { detail: 'This client was opened to read only.' })
    }
    const users = await Promise.all(members.map((who) => this.find(who)))
    const room = newGroupId()
    await outbox.give({ name: 'create', room, title, openHistory, members: users }, 0)
    return new Room(this.#core, room)
  }

  /** Ends the connection and gives the profile free. What was not acked stays in a lasting outbox. */
  close(): Promise<void> {
    return this.#core.close()
  }
}
