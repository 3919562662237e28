/**
 * A process that owns partitions and runs the actors in them. Ties them to the bus: what comes in (intake.ts), what
 * goes out (outbound.ts), and the loop turn in between, in which everything that arrived is decided, one batch per
 * partition is sent, and one envelope per gateway leaves. What a partition consists of is owned.ts.
 */
import type { Unsubscribe } from '../bus/bus.ts'
import { Positions } from '../bus/positions.ts'
import type { Incarnation, UserId } from '../ids.ts'
import { writeValue } from '../protocol/codec.ts'
import { writeRoutes } from '../protocol/envelopes.ts'
import type { Wire } from '../protocol/fields.ts'
import { ROUTES } from '../protocol/user-commands.ts'
import { Writer } from '../protocol/writer.ts'
import type { Service } from '../service.ts'
import { hostSubject, inboxSubject } from '../subjects.ts'
import { Appends } from './appends.ts'
import { Asks } from './asks.ts'
import { HistoryFloors } from './floors.ts'
import { handOver } from './handover.ts'
import type { HostOptions } from './host-options.ts'
import { type Actors, Intake, Places } from './intake.ts'
import { Outbound } from './outbound.ts'
import { type Owned, openOwned, type Parts } from './owned.ts'
import { type Claiming, Placement } from './placement.ts'
import { PointerQueue } from './pointer-queue.ts'
import { Routes, type SessionRoute } from './routes.ts'
import { FULL, Trimmer } from './trim.ts'
import { WorkerLease } from './worker-lease.ts'

const PULSE_MS = 50
const SWEEP_MS = 5000
/** A partition that can not be drained in this time, because a store is out of reach, is kept. */
const RESIGN_MS = 10_000
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
  readonly #trimmer: Trimmer
  readonly #owned = new Map<number, Owned<Room, User>>()
  readonly #starting = new Map<number, AbortController>()
  readonly #claims: [number, Claiming][] = []
  readonly #turning: { turn(): void }[] = []
  #scheduled = false
  #parts!: Parts<Room, User>
  #ends: (() => unknown)[] = []
  readonly #full = { log: false }
  readonly counts = { batches: 0, records: 0, bytes: 0, commands: 0, doubts: 0 }

  constructor(options: HostOptions<Room, User>) {
    const { nats, clock, identity, log, partitions, streams } = options
    this.#options = options
    this.incarnation = identity.incarnation
    this.#places = new Places(partitions)
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
      partitions,
      (user) => this.#places.of(user),
      clock,
    )
    this.#intake = new Intake(this.#actors(), this.#outbound, nats, this.#places)
    this.#trimmer = new Trimmer({
      nats,
      clock,
      log,
      partitions,
      streams,
      lastOf: (p) => this.#owned.get(p)?.partition.last,
      onStale: (p) => this.#owned.get(p)?.partition.tick(),
    })
    this.placement = new Placement({
      nats,
      clock,
      log,
      identity,
      partitions,
      exclusive: options.exclusive,
      ...(options.timing === undefined ? {} : { timing: options.timing }),
      on: {
        claim: (p, how) => {
          this.#claims.push([p, how])
          this.#startNext()
        },
        resign: (p, successor) => void this.#resign(p, successor, clock.monotonic() + RESIGN_MS),
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
    try {
      await this.#start(signal)
    } catch (error) {
      await this.#end()
      throw error
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { nats, clock, streams } = this.#options
    const checkpoints = await nats.bucket('checkpoints')
    const floors = new HistoryFloors(checkpoints, streams)
    this.#ends.push(() => floors.stop())
    await floors.start(nats)
    const worker = new WorkerLease(await nats.bucket('workers'), this.incarnation, clock)
    this.#ends.push(() => worker.stop())
    await worker.start()
    this.#parts = this.#share(new Positions(checkpoints), floors, worker)
    const pulse = setInterval(() => this.#pulse(false), PULSE_MS)
    const sweep = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#ends.push(
      () => clearInterval(pulse),
      () => clearInterval(sweep),
      nats.onGap(() => this.#pulse(true)),
      nats.subscribe(hostSubject(this.incarnation), (message) => this.#intake.onMessage(message)),
    )
    this.#trimmer.start()
    await this.placement.start(signal)
  }

  async #end(): Promise<void> {
    this.#stopAll()
    this.#outbound.flush()
    await this.#trimmer.stop()
    for (const end of this.#ends.splice(0)) await end()
    this.#appends.close()
  }

  #share(positions: Positions, floors: HistoryFloors, worker: WorkerLease): Parts<Room, User> {
    return {
      options: this.#options,
      placement: this.placement,
      outbound: this.#outbound,
      routes: this.#routes,
      pointers: this.#pointers,
      appends: this.#appends,
      asks: this.#asks,
      positions,
      floors,
      worker,
      trimmer: this.#trimmer,
      full: this.#full,
      counts: this.counts,
      schedule: (partition) => {
        this.#turning.push(partition)
        this.#soon()
      },
      listen: (p) => this.#listen(p),
      tell: (host, user, sessions) => this.#tell(host, user, sessions),
      lost: (p, view) => {
        this.#stop(p)
        this.placement.lost(p, view)
      },
      damaged: (p) => {
        this.#stop(p)
        this.placement.failed(p)
      },
    }
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
    this.#watchFill()
    this.#pointers.pulse(lost)
    this.#pointers.flush()
    this.#outbound.flush()
  }

  /** From 80 % on clients' durable commands are refused, and pointers wait here (contracts L0). */
  #watchFill(): void {
    const fill = { log: this.#trimmer.logFill(), inbox: this.#trimmer.inboxFill() }
    if (fill.log >= FULL !== this.#full.log) {
      this.#full.log = fill.log >= FULL
      this.#options.log.warn({ ...fill, full: this.#full.log }, 'log.full')
    }
    if (fill.inbox >= FULL !== this.#pointers.held) {
      this.#pointers.held = fill.inbox >= FULL
      this.#options.log.warn({ ...fill, full: this.#pointers.held }, 'inbox.full')
    }
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
          this.#stop(p)
          this.placement.failed(p)
        })
        .finally(() => {
          this.#starting.delete(p)
          this.#startNext()
        })
    }
  }

  async #take(p: number, how: Claiming, life: AbortController): Promise<void> {
    const owned = await openOwned(this.#parts, p, how.view, life)
    if ('yieldTo' in owned) {
      this.placement.lost(p, owned.yieldTo)
      return
    }
    this.#owned.set(p, owned)
    if (await this.placement.serving(p, owned.partition.epoch, life.signal)) {
      void owned.partition.loadAll(life.signal)
    } else {
      this.#stop(p)
      this.placement.lost(p, how.view)
    }
  }

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

  /** Contracts L9: forgets everything of a partition; whoever waits is told that it has moved. */
  #stop(p: number): void {
    const owned = this.#owned.get(p)
    if (owned === undefined) return
    this.#owned.delete(p)
    owned.life.abort(new Error('the partition is not ours any more'))
    owned.unsubscribe()
    owned.partition.stop()
    this.#pointers.discard((room) => this.#places.of(room) === p)
    owned.fold.stop()
    this.#outbound.flush()
  }

  /** Gives a partition up, or keeps it when it can not be drained in time. */
  async #resign(p: number, successor: Incarnation | undefined, deadline: number): Promise<void> {
    const owned = this.#owned.get(p)
    if (owned === undefined) return
    const { clock, log } = this.#options
    try {
      const outcome = await handOver(owned, successor, clock, deadline)
      if (outcome === 'kept' || this.#owned.get(p) !== owned) return
      const left = Math.max(1, Math.ceil(deadline - clock.monotonic()))
      const { epoch } = owned.partition
      if (outcome === 'undecided') this.placement.failed(p)
      else await this.placement.handed(p, epoch, successor, AbortSignal.timeout(left))
    } catch (err) {
      log.error({ p, err }, 'partition.resign_failed')
    }
    if (this.#owned.get(p) === owned) this.#stop(p)
  }

  #stopAll(): void {
    this.#claims.length = 0
    for (const life of this.#starting.values()) life.abort(new Error('the host has stopped'))
    for (const p of this.serving) this.#stop(p)
  }

  async drain(deadline: number): Promise<void> {
    const left = Math.ceil(Math.max(100, deadline - this.#options.clock.monotonic()))
    this.#claims.length = 0
    for (const [p, life] of this.#starting) {
      if (!this.#owned.has(p)) life.abort(new Error('the host drains'))
    }
    await this.placement.drain(AbortSignal.timeout(left)).catch(() => undefined)
    await Promise.all(
      this.serving.map((p) => this.#resign(p, this.placement.successorOf(p), deadline)),
    )
    await this.placement.leave(AbortSignal.timeout(500)).catch(() => undefined)
    await this.#end()
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
