/**
 * A process that owns partitions and runs the actors in them. Ties the rooms and users of its partitions to the bus:
 * what comes in (intake.ts), what goes out (outbound.ts), and the loop turn in between, in which everything that
 * arrived is decided, one batch per partition is sent, and one envelope per gateway leaves.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Nats, Unsubscribe } from '../bus/bus.ts'
import { checkpointKey, inboxFloorKey, Positions } from '../bus/positions.ts'
import type { Clock } from '../clock.ts'
import type { Incarnation, UserId } from '../ids.ts'
import type { Log } from '../log.ts'
import { writeValue } from '../protocol/codec.ts'
import { writeRoutes } from '../protocol/envelopes.ts'
import type { Wire } from '../protocol/fields.ts'
import { ROUTES } from '../protocol/user-commands.ts'
import { Writer } from '../protocol/writer.ts'
import type { Service } from '../service.ts'
import type { HistoryStore } from '../store/history/history.ts'
import type { StateStore } from '../store/state/state.ts'
import { hostSubject, inboxSubject, logSubject, streamOf } from '../subjects.ts'
import { Appends } from './appends.ts'
import { Asks } from './asks.ts'
import type { RoomBehavior, UserBehavior } from './behavior.ts'
import type { ActorLimits, PartitionContext } from './context.ts'
import { HistoryFloors } from './floors.ts'
import { Fold } from './fold.ts'
import { type Actors, Intake, Places } from './intake.ts'
import { Outbound } from './outbound.ts'
import { inboxFloor, type StartContext, takeInbox, takeLog } from './owner-start.ts'
import { Partition } from './partition.ts'
import { type Claiming, Placement } from './placement.ts'
import { PointerQueue } from './pointer-queue.ts'
import type { QueueLimits } from './queue-device.ts'
import { type QueueConsumer, queuePort } from './queue-port.ts'
import { loadQueues, Queues } from './queues.ts'
import { Routes, type SessionRoute } from './routes.ts'
import { Sessions } from './sessions.ts'
import { WorkerLease } from './worker-lease.ts'

export type HostOptions<Room, User> = {
  readonly nats: Nats
  readonly clock: Clock
  readonly log: Log
  readonly identity: { readonly incarnation: Incarnation; readonly host: string }
  readonly partitions: number
  /** Streams of each family (K). */
  readonly streams: number
  /** A lock on the data directory proves that no other host is alive. */
  readonly exclusive: boolean
  readonly room: RoomBehavior<Room>
  readonly user: UserBehavior<User>
  readonly history: HistoryStore
  readonly state: StateStore
  readonly limits: ActorLimits
  readonly inboxConsumer: StartContext['inboxConsumer']
  /** The durable queue of a device (contracts I5). */
  readonly queueConsumer: QueueConsumer
  readonly queueLimits: QueueLimits
}

type Owned<Room, User> = {
  readonly partition: Partition<Room>
  readonly fold: Fold<User>
  readonly sessions: Sessions<User>
  readonly queues: Queues
  readonly life: AbortController
  readonly unsubscribe: Unsubscribe
}

const PULSE_MS = 50
const SWEEP_MS = 5000
/** Partitions that are started side by side. */
const STARTS = 16

export class Host<Room, User> implements Service {
  readonly name = 'host'
  readonly incarnation: Incarnation
  readonly placement: Placement
  readonly #options: HostOptions<Room, User>
  readonly #outbound: Outbound
  readonly #routes: Routes
  readonly #pointers: PointerQueue
  readonly #appends: Appends
  readonly #asks: Asks
  readonly #intake: Intake
  readonly #places: Places
  readonly #owned = new Map<number, Owned<Room, User>>()
  readonly #starting = new Map<number, AbortController>()
  readonly #claims: [number, Claiming][] = []
  readonly #turning: { turn(): void }[] = []
  #scheduled = false
  #worker!: WorkerLease
  #positions!: Positions
  #floors!: HistoryFloors
  #ends: (() => void)[] = []
  readonly counts = { batches: 0, records: 0, bytes: 0, commands: 0, doubts: 0 }

  constructor(options: HostOptions<Room, User>) {
    const { nats, clock, identity } = options
    this.#options = options
    this.incarnation = identity.incarnation
    this.#places = new Places(options.partitions)
    this.#outbound = new Outbound(identity.incarnation, nats, () => this.#soon())
    this.#asks = new Asks(nats, identity.incarnation, this.#places)
    this.#routes = new Routes((user) => this.#askRoutes(user), this.#outbound, clock)
    this.#appends = new Appends(nats, {
      log: (p, epoch, number, attempt, reply) => {
        const partition = this.#owned.get(p)?.partition
        if (partition?.epoch === epoch) partition.log.reply(number, attempt, reply)
      },
      inbox: (p, batch, reply) => this.#pointers.reply(p, batch, reply),
    })
    this.#pointers = new PointerQueue(
      { append: (p, bytes, batch) => this.#appends.inbox(inboxSubject(p), p, bytes, batch) },
      options.partitions,
      (user) => this.#places.of(user),
      clock,
    )
    this.#intake = new Intake(this.#actors(), this.#outbound, nats, this.#places)
    this.placement = new Placement({
      nats,
      clock,
      log: options.log,
      identity,
      partitions: options.partitions,
      exclusive: options.exclusive,
      on: {
        claim: (p, how) => {
          this.#claims.push([p, how])
          this.#startNext()
        },
        resign: (p, successor) => void this.#resign(p, successor, Number.POSITIVE_INFINITY),
        superseded: () => this.#stopAll(),
      },
    })
  }

  /** Partitions that this host serves now. */
  get serving(): number[] {
    return [...this.#owned.keys()]
  }

  get stats() {
    let rooms = 0
    let users = 0
    for (const { partition, fold } of this.#owned.values()) {
      rooms += partition.rooms
      users += fold.users
    }
    const { handles, live } = this.#routes.counts
    return { ...this.counts, handles, live, rooms, users, pointers: this.#pointers.size }
  }

  async start(signal: AbortSignal): Promise<void> {
    const { nats, clock } = this.#options
    const checkpoints = await nats.bucket('checkpoints')
    this.#positions = new Positions(checkpoints)
    this.#floors = new HistoryFloors(checkpoints, this.#options.streams)
    await this.#floors.start(nats)
    this.#worker = new WorkerLease(await nats.bucket('workers'), this.incarnation, clock)
    await this.#worker.start()
    const pulse = setInterval(() => this.#pulse(false), PULSE_MS)
    const sweep = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#ends.push(
      () => clearInterval(pulse),
      () => clearInterval(sweep),
      () => this.#floors.stop(),
      nats.onGap(() => this.#pulse(true)),
      nats.subscribe(hostSubject(this.incarnation), (message) => this.#intake.onMessage(message)),
    )
    await this.placement.start(signal)
  }

  #actors(): Actors {
    return {
      room: (p, id, origin, command) => {
        this.counts.commands++
        const owned = this.#owned.get(p)
        if (owned === undefined) origin.outlet.moved(origin.token, origin.attempt)
        else owned.partition.execute(id, origin, command)
      },
      user: (p, origin, command) => {
        const sessions = this.#owned.get(p)?.sessions
        if (sessions === undefined) origin.outlet.moved(origin.token, origin.attempt)
        else if (command.name === 'routes') {
          const list = sessions.routes(origin.user, command.incarnation as Incarnation)
          origin.outlet.final(origin.token, origin.attempt, encodeRoutes(list))
        } else sessions.execute(origin, command)
      },
      beat: (p, gateway, item) => {
        const { user, handle, device, generation, position } = item
        this.#owned.get(p)?.sessions.beat(user, gateway, handle, device, generation, position)
      },
      lost: (gateway, { handle, room, seq }) => {
        // R1: forget the route and send the event again by subject.
        const users = this.#routes.holders(gateway, handle)
        for (const user of users) this.#routes.drop(user)
        const frame = this.#owned.get(this.#places.of(room))?.partition.recent(room, seq)
        if (frame !== undefined)
          for (const user of users) this.#outbound.live(user, undefined, frame)
      },
      routes: ({ user, sessions }) => this.#routes.changed(user, sessions),
      unreadable: (subject, err) =>
        this.#options.log.error({ subject, err }, 'envelope.unreadable'),
    }
  }

  async #askRoutes(user: UserId): Promise<readonly SessionRoute[] | undefined> {
    const own = this.#owned.get(this.#places.of(user))
    return own === undefined ? this.#asks.routes(user) : own.sessions.routes(user, this.incarnation)
  }

  #tell(host: Incarnation, user: UserId, sessions: readonly SessionRoute[]): void {
    if (host === this.incarnation) this.#routes.changed(user, sessions)
    else {
      const writer = new Writer().str(this.incarnation)
      writeRoutes(writer, user, sessions)
      this.#options.nats.publish(hostSubject(host), writer.take())
    }
  }

  /** What a loop turn gathered leaves at its end: batches first, then envelopes. */
  #soon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#scheduled = false
    for (const partition of this.#turning.splice(0)) partition.turn()
    this.#outbound.flush()
  }

  #pulse(lost: boolean): void {
    const now = this.#options.clock.monotonic()
    for (const { partition, fold, sessions } of this.#owned.values()) {
      partition.pulse(lost)
      fold.pulse(now)
      sessions.pulse(now)
    }
    this.#pointers.pulse(lost)
    this.#pointers.flush()
    this.#outbound.flush()
  }

  #sweep(): void {
    const now = this.#options.clock.monotonic()
    for (const { partition, fold, sessions, queues } of this.#owned.values()) {
      partition.passivate(this.#options.clock.now() - this.#options.limits.roomIdleMs)
      fold.passivate(now)
      sessions.expire(now)
      queues.pulse()
    }
  }

  #startNext(): void {
    while (this.#starting.size < STARTS && this.#claims.length > 0) {
      const [p, how] = this.#claims.shift()!
      const life = new AbortController()
      this.#starting.set(p, life)
      void this.#take(p, how, life)
        .catch((err: unknown) => {
          if (!life.signal.aborted) this.#options.log.error({ p, err }, 'partition.start_failed')
          life.abort(err)
          this.placement.failed(p)
        })
        .finally(() => {
          this.#starting.delete(p)
          this.#startNext()
        })
    }
  }

  /** From a claim to serving (contracts L, owner start). */
  async #take(p: number, how: Claiming, life: AbortController): Promise<void> {
    const { identity, clock, log } = this.#options
    const { signal } = life
    const start = this.#startContext()
    const who = { ...identity, view: how.view }
    const taken = await takeLog(start, p, who, signal)
    if (taken.kind === 'yield') {
      this.placement.lost(p, taken.view)
      return
    }
    const { epoch, checkpoint, chain, quietUntil } = taken
    const queues = new Queues(p, epoch, this.#queuePort(p), this.#options.state, signal)
    await loadQueues(queues, signal)
    const floor = await inboxFloor(start, p, signal)
    const fold = new Fold<User>(this.#foldContext(p), p, floor, queues)
    const inbox = await this.#options.nats.streams.state(
      streamOf('INBOX', p, this.#options.streams),
    )
    const partition = new Partition<Room>(this.#context(), p, epoch, chain.rooms, checkpoint)
    const sessions = new Sessions<User>(
      {
        behavior: this.#options.user,
        outbound: this.#outbound,
        monotonic: () => clock.monotonic(),
        nextLineage: () => this.#worker.source.lineage(clock.now()),
        answer: (origin, run) => partition.answer(origin, 0, run),
        tell: (host, user, list) => this.#tell(host, user, list),
      },
      fold,
      Date.parse(inbox.created).toString(36),
      queues,
    )
    this.#folding.set(p, sessions)
    await takeInbox(start, fold, epoch, signal)
    // L10: the former owner may be answering until then.
    const wait = quietUntil - clock.monotonic()
    if (wait > 0) await pause(wait, undefined, { signal })
    const unsubscribe = this.#listen(p)
    this.#owned.set(p, { partition, fold, sessions, queues, life, unsubscribe })
    if (!(await this.placement.serving(p, epoch, signal))) {
      this.#stop(p)
      this.placement.lost(p, how.view)
      return
    }
    log.info({ p, epoch, rooms: chain.rooms.size }, 'partition.serving')
    void partition.loadAll(signal)
  }

  readonly #folding = new Map<number, Sessions<User>>()

  /** The actors' own subjects, for everyone but the gateways (contracts O3). */
  #listen(p: number): Unsubscribe {
    const { nats } = this.#options
    const onMessage = (message: Parameters<Intake['onMessage']>[0]) =>
      this.#intake.onMessage(message)
    const rooms = nats.subscribe(`room.${p}.*`, onMessage)
    const users = nats.subscribe(`user.${p}.*`, onMessage)
    return () => {
      rooms()
      users()
    }
  }

  #startContext(): StartContext {
    return {
      nats: this.#options.nats,
      clock: this.#options.clock,
      appends: this.#appends,
      positions: this.#positions,
      streams: this.#options.streams,
      historyFloor: async (p) => this.#floors.of(p % this.#options.streams),
      inboxConsumer: this.#options.inboxConsumer,
      provenDead: (p, epoch) => this.placement.provenDead(p, epoch),
      alarm: (p, text) => this.#options.log.error({ p, text }, 'partition.alarm'),
    }
  }

  #foldContext(p: number) {
    const { user, state, clock, log } = this.#options
    return {
      behavior: user,
      state,
      monotonic: () => clock.monotonic(),
      saveFloor: (_p: number, position: number) =>
        this.#positions.raise(inboxFloorKey(p), position),
      folded: (users: Parameters<Sessions<User>['folded']>[0]) =>
        this.#folding.get(p)?.folded(users),
      storeFailed: (_p: number, _user: UserId | undefined, err: unknown) =>
        log.warn({ p, err }, 'store.failed'),
      poisoned: (_p: number, position: number, err: unknown) =>
        log.error({ p, position, err }, 'inbox.unreadable'),
    }
  }

  #queuePort(p: number) {
    const { queueConsumer, queueLimits, nats, state, clock, log } = this.#options
    return queuePort({
      consumer: queueConsumer,
      limits: queueLimits,
      streams: nats.streams,
      appends: this.#appends,
      state,
      now: () => clock.now(),
      failed: (user, device, err) => log.warn({ p, user, device, err }, 'queue.failed'),
    })
  }

  #context(): PartitionContext<Room> {
    const { room, clock, limits, history, state, nats, streams, log } = this.#options
    return {
      behavior: room,
      clock,
      limits,
      routes: this.#routes,
      pointers: this.#pointers,
      history,
      state,
      nextId: (now) => this.#worker.source.next(now),
      schedule: (partition) => {
        this.#turning.push(partition)
        this.#soon()
      },
      append: (p, epoch, bytes, expected, number, attempt) =>
        this.#appends.log(logSubject(p), p, epoch, bytes, expected, number, attempt),
      record: (p, seq) => nats.streams.get(streamOf('LOG', p, streams), seq),
      permit: (user, peer) => this.#asks.permit(user, peer),
      view: () => this.placement.view,
      historyFloor: (p) => this.#floors.of(p % streams),
      logFull: () => false,
      saveCheckpoint: (p, position) => this.#positions.raise(checkpointKey(p), position),
      lost: (p, view) => {
        log.warn({ p, view }, 'partition.fenced')
        this.#stop(p)
        this.placement.lost(p, view)
      },
      damaged: (p, why) => {
        log.error({ p, why }, 'partition.damaged')
        this.#stop(p)
        this.placement.failed(p)
      },
      alarm: (p, text) => log.error({ p, text }, 'partition.alarm'),
      doubt: (p, code, text) => {
        this.counts.doubts++
        log.debug({ p, code, text }, 'log.doubt')
      },
      committed: (_p, records, bytes) => {
        this.counts.batches++
        this.counts.records += records
        this.counts.bytes += bytes
      },
      storeFailed: (p, id, err) => log.warn({ p, room: id, err }, 'store.failed'),
    }
  }

  /** Contracts L9: forgets everything of a partition; whoever waits is told that it has moved. */
  #stop(p: number): void {
    const owned = this.#owned.get(p)
    if (owned === undefined) return
    this.#owned.delete(p)
    this.#folding.delete(p)
    owned.life.abort(new Error('the partition is not ours any more'))
    owned.unsubscribe()
    owned.partition.stop()
    this.#pointers.discard((room) => this.#places.of(room) === p)
    owned.fold.stop()
    this.#outbound.flush()
  }

  /** Contracts L, drain: nothing new, everything accepted committed and stored, then the log says so. */
  async #resign(p: number, successor: Incarnation | undefined, deadline: number): Promise<void> {
    const owned = this.#owned.get(p)
    if (owned === undefined) return
    const { partition, fold } = owned
    const { clock } = this.#options
    partition.drain()
    while (!(partition.drained && fold.drained) && clock.monotonic() < deadline) {
      if (this.#owned.get(p) !== owned) return
      partition.pulse(false)
      await pause(5)
    }
    if (!partition.drained) return
    fold.hurry = true
    await fold.save()
    partition.handover(successor ?? '')
    while (!partition.settled && clock.monotonic() < deadline) await pause(2)
    if (partition.settled && this.#owned.get(p) === owned) {
      await this.placement.handed(p, partition.epoch, successor)
    }
    this.#stop(p)
  }

  #stopAll(): void {
    for (const life of this.#starting.values()) life.abort(new Error('the host has stopped'))
    for (const p of this.serving) this.#stop(p)
  }

  async drain(deadline: number): Promise<void> {
    const left = Math.ceil(Math.max(100, deadline - this.#options.clock.monotonic()))
    const signal = AbortSignal.timeout(left)
    this.#claims.length = 0
    for (const life of this.#starting.values()) life.abort(new Error('the host drains'))
    await this.placement.drain(signal).catch(() => undefined)
    await Promise.all(
      this.serving.map((p) => this.#resign(p, this.placement.successorOf(p), deadline)),
    )
    await this.placement.leave(AbortSignal.timeout(500)).catch(() => undefined)
    this.#stopAll()
    this.#outbound.flush()
    await this.#worker.stop()
    for (const end of this.#ends.splice(0)) end()
    this.#appends.close()
  }
}

const encodeRoutes = (sessions: readonly SessionRoute[] | undefined): Uint8Array => {
  const writer = new Writer(64)
  writeValue(writer, ROUTES as unknown as Wire, {
    known: sessions !== undefined,
    sessions: sessions ?? [],
  })
  return writer.take()
}
