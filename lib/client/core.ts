/**
 * The parts of a client and what flows between them. Owns the life of a connection; what the app sees of it is client.ts
 * and room.ts.
 */
import { ParleyError } from '../errors.ts'
import type { RoomId, UserId } from '../ids.ts'
import { type AnyFrame, type Frame, LIMITS } from '../protocol/frames.ts'
import { Api } from './api.ts'
import { Archive } from './archive.ts'
import { type Answer, Asker, type Patience } from './ask.ts'
import type { Cache } from './cache.ts'
import { Connection } from './connection.ts'
import { Credentials } from './credentials.ts'
import { Emitter } from './emitter.ts'
import { entryOf } from './events.ts'
import { Gaps } from './gaps.ts'
import { Heads } from './heads.ts'
import { Inbox } from './inbox.ts'
import { soleLocks } from './locks.ts'
import { lookUp } from './look-up.ts'
import { memoryCache } from './memory-cache.ts'
import type { ClientOptions } from './options.ts'
import { Outbox } from './outbox.ts'
import { Profile } from './profile.ts'
import { Queue } from './queue.ts'
import { type ClientEvents, Rooms } from './rooms.ts'
import type { Position } from './saved.ts'
import { dialWebSocket } from './socket.ts'
import type { State } from './state.ts'
import { orAborted, systemTime, type Time } from './time.ts'

const BACKOFF = { base: 200, cap: 5_000 }

export class Core {
  readonly emitter = new Emitter<ClientEvents>()
  readonly heads = new Heads()
  readonly options: ClientOptions
  readonly time: Time
  readonly api: Api
  readonly cache: Cache
  readonly credentials: Credentials
  readonly profile: Profile
  readonly connection: Connection
  readonly asker: Asker
  readonly archive: Archive
  readonly gaps: Gaps
  readonly rooms: Rooms
  readonly inbox: Inbox
  readonly outbox: Outbox
  readonly #queue: Queue | undefined
  #life = new AbortController()
  #opened: Promise<void> | undefined
  #closed: ParleyError | undefined
  #synced = Promise.withResolvers<void>()
  me: UserId | undefined
  textLimit: number = LIMITS.text

  constructor(options: ClientOptions) {
    const locks = options.locks ?? soleLocks()
    const failed = (error: unknown) => this.#warn(error)
    const me = () => this.me
    this.options = options
    this.time = options.time ?? systemTime
    this.api = new Api(options.api, options.fetch)
    this.cache = options.cache ?? memoryCache()
    const { time, cache, heads, emitter } = this
    this.credentials = new Credentials(this.api, cache, locks, time, options.gateways ?? [])
    this.connection = this.#connection()
    this.asker = new Asker(this.connection, time)
    this.archive = new Archive(cache, this.asker)
    const { asker, archive, connection } = this
    const signal = () => this.#life.signal
    const begin = (room: RoomId) => this.#begin(room)
    const follows = (room: RoomId): boolean => this.rooms.follows(room)
    this.gaps = new Gaps({
      ...{ time, cache, archive, heads, me, begin, follows, signal, failed },
      released: (event) => this.rooms.released(event),
    })
    this.rooms = new Rooms({ options, emitter, cache, heads, gaps: this.gaps, me, failed })
    this.inbox = new Inbox({
      ...{ cache, asker, failed },
      changed: (pointer, first) => this.rooms.pointed(pointer, first),
      forgotten: (room) => this.rooms.forgotten(room),
      synced: () => this.#onSynced(),
    })
    this.outbox = new Outbox({
      ...{ time, cache, link: connection },
      lookUp: async (room, slots) => lookUp(archive, room, slots, this.user(), signal()),
      joinOf: async (room) => (await this.info(room, { signal: signal() })).join,
      renew: () => connection.restart(),
      settled: (what) => this.rooms.settled(what),
    })
    this.profile = new Profile({
      ...{ cache, locks, failed },
      begin: () => {
        this.outbox.start()
        this.#keepPlace(true)
      },
      changed: (hold) => emitter.emit('outbox', hold),
    })
    if (options.delivery !== 'queue') return
    this.#queue = new Queue({
      ...{ cache, asker, signal, refused: failed },
      pushed: (pointer) => this.inbox.pushed([pointer]),
      live: (entry) => this.rooms.live(entry),
      sync: () => this.inbox.sync(),
    })
  }

  #connection(): Connection {
    const { time, options } = this
    return new Connection({
      time,
      dial: options.dial ?? dialWebSocket,
      backoff: options.backoff ?? BACKOFF,
      way: (renew, signal) => this.credentials.way(renew, signal),
      hello: () => ({ cursor: this.inbox.cursor, lineage: this.outbox.lineage }),
      events: {
        state: (state, reason) => this.#onState(state, reason),
        welcome: (frame) => this.#onWelcome(frame),
        push: (frame) => this.#onPush(frame),
        // The durable queue tells what is missing by itself.
        pong: ({ cursor }) => this.#queue?.active !== true && this.inbox.heard(cursor),
        cut: () => this.#onCut(),
      },
    })
  }

  /** Ends when the server refuses this client for good, or the app closes it. */
  get signal(): AbortSignal {
    return this.#life.signal
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  /** @throws ParleyError before the first connection. */
  user(): UserId {
    if (this.me === undefined) throw new ParleyError('unauthorized', { detail: 'Connect first.' })
    return this.me
  }

  /** Opens the profile: with its outbox when that is free, else to read. */
  async open(): Promise<void> {
    if (this.#closed !== undefined) throw this.#closed
    this.#opened ??= this.#open()
    await this.#opened
  }

  async #open(): Promise<void> {
    await this.profile.open(this.options.outbox !== 'never')
    this.rooms.recall()
  }

  async connect({ signal, within }: Patience): Promise<void> {
    await this.open()
    this.me = (await this.credentials.account()).user
    if (this.#life.signal.aborted) this.#life = new AbortController()
    this.asker.again()
    this.connection.connect()
    const late = new AbortController()
    const giveUp = () => late.abort(this.connection.reason ?? new ParleyError('unavailable'))
    const cancel = within === undefined ? () => {} : this.time.after(within, giveUp)
    const ends = [this.#life.signal, late.signal, ...(signal ? [signal] : [])]
    try {
      await orAborted(this.#synced.promise, AbortSignal.any(ends))
    } finally {
      cancel()
    }
  }

  /** Ends everything; the profile is free for another. */
  async close(): Promise<void> {
    if (this.#closed !== undefined) return
    const left = this.outbox.size > 0 ? ' What was not acked stays in the outbox.' : ''
    const reason = new ParleyError('unavailable', { detail: `The client is closed.${left}` })
    this.#closed = reason
    this.connection.close()
    this.outbox.close(reason)
    this.#life.abort(reason)
    this.asker.end(reason)
    await this.profile.close(() => this.gaps.store())
  }

  /** Asks the room what it is. `peer` names the other side of a dm that may not exist yet. */
  info(room: RoomId, patience: Patience, peer = this.rooms.peerOf(room)): Promise<Answer<'open'>> {
    return this.asker.ask('open', { room, peer: peer ?? null, lineage: null }, patience)
  }

  async #begin(room: RoomId): Promise<Position> {
    return this.rooms.beginning(await this.info(room, { signal: this.#life.signal }), false)
  }

  #onState(state: State, reason: ParleyError | undefined): void {
    if (state === 'closed' && reason !== undefined) {
      this.asker.end(reason)
      this.#life.abort(reason)
    }
    this.emitter.emit('state', { state, reason })
  }

  #onWelcome(frame: Frame<'welcome'>): void {
    this.me = frame.user
    this.textLimit = frame.textLimit
    this.asker.opened()
    this.inbox.opened(frame)
    this.outbox.opened(frame.lineage)
    this.#keepPlace(false)
  }

  /** The durable queue is for whoever stores what it brings. `late`: what it brought before was left to `sync`. */
  #keepPlace(late: boolean): void {
    if (this.profile.hold !== 'held' || !this.connection.inSession) return
    void this.#queue?.opened()
    if (late && this.#queue !== undefined) this.inbox.sync()
  }

  #onCut(): void {
    this.#synced = Promise.withResolvers()
    this.asker.cut()
    this.inbox.cut()
  }

  #onSynced(): void {
    this.#queue?.synced()
    this.#synced.resolve()
    this.emitter.emit('synced', undefined)
  }

  #onPush(frame: AnyFrame): void {
    switch (frame.name) {
      case 'event':
      case 'skip': {
        const entry = entryOf(frame)
        if (entry !== undefined) this.rooms.live(entry)
        break
      }
      case 'changes':
        this.inbox.pushed(frame.changes)
        break
      case 'queued':
        if (this.profile.hold !== 'held') break
        this.#queue?.queued(frame).catch((error: unknown) => this.#warn(error))
        break
      case 'mark':
        this.rooms.marked(frame)
        break
    }
  }

  #warn(error: unknown): void {
    const warning =
      error instanceof ParleyError ? error : new ParleyError('internal', { cause: error })
    this.emitter.emit('warning', warning)
  }
}
