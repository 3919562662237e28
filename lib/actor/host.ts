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
import { Turn } from '../turn.ts'
import { Appends } from './appends.ts'
import { Asks } from './asks.ts'
import { HistoryFloors } from './floors.ts'
import { Fullness } from './fullness.ts'
import type { HostOptions } from './host-options.ts'
import { type Actors, Intake, Places } from './intake.ts'
import { Outbound } from './outbound.ts'
import { openOwned, type Parts } from './owned.ts'
import { Partitions } from './partitions.ts'
import { Placement } from './placement.ts'
import { PointerQueue } from './pointer-queue.ts'
import { Routes, type SessionRoute } from './routes.ts'
import { Trimmer } from './trim.ts'
import { WorkerLease } from './worker-lease.ts'

const PULSE_MS = 50
const SWEEP_MS = 5000

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
  readonly #fullness: Fullness
  readonly #partitions: Partitions<Room, User>
  readonly #turning: { turn(): void }[] = []
  readonly #turns = new Turn(() => this.#turn())
  #parts!: Parts<Room, User>
  #ends: (() => unknown)[] = []
  readonly counts = { batches: 0, records: 0, bytes: 0, commands: 0, doubts: 0 }

  constructor(options: HostOptions<Room, User>) {
    const { nats, clock, identity, log, partitions, streams } = options
    this.#options = options
    this.incarnation = identity.incarnation
    this.#places = new Places(partitions)
    this.#outbound = new Outbound(identity.incarnation, nats, this.#turns.schedule)
    this.#asks = new Asks(nats, identity.incarnation, this.#places)
    this.#routes = new Routes((user) => this.#askRoutes(user), this.#outbound, clock)
    this.#appends = new Appends(nats, {
      log: (p, epoch, number, attempt, reply) => {
        const partition = this.#partitions.of(p)?.partition
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
      lastOf: (p) => this.#partitions.of(p)?.partition.last,
      onStale: (p) => this.#partitions.of(p)?.partition.tick(),
    })
    this.#fullness = new Fullness({
      trimmer: this.#trimmer,
      pointers: this.#pointers,
      log,
      streams,
    })
    this.#partitions = new Partitions({
      clock,
      log,
      placement: () => this.placement,
      open: (p, view, life) => openOwned(this.#parts, p, view, life),
      stopped: (p) => {
        this.#pointers.discard((room) => this.#places.of(room) === p)
        this.#outbound.flush()
      },
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
        claim: (p, how) => this.#partitions.claim(p, how),
        resign: (p, successor) => void this.#partitions.resign(p, successor),
        superseded: () => this.#partitions.stopAll(),
      },
    })
  }

  /** Partitions that this host serves now. */
  get serving(): number[] {
    return this.#partitions.serving
  }

  get stats() {
    let rooms = 0
    let users = 0
    for (const { partition, fold } of this.#partitions.all()) {
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
    this.#partitions.stopAll()
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
      logFull: (p) => this.#fullness.log(p),
      counts: this.counts,
      schedule: (partition) => {
        this.#turning.push(partition)
        this.#turns.schedule()
      },
      listen: (p) => this.#listen(p),
      tell: (host, user, sessions) => this.#tell(host, user, sessions),
      lost: (p, view) => {
        this.#partitions.stop(p)
        this.placement.lost(p, view)
      },
      damaged: (p) => {
        this.#partitions.stop(p)
        this.placement.failed(p)
      },
    }
  }

  #actors(): Actors {
    return {
      room: (p, id, origin, command) => {
        this.counts.commands++
        const owned = this.#partitions.of(p)
        if (owned === undefined) origin.outlet.moved(origin.token, origin.attempt)
        else owned.partition.execute(id, origin, command)
      },
      user: (p, origin, command) => {
        const sessions = this.#partitions.of(p)?.sessions
        if (sessions === undefined) origin.outlet.moved(origin.token, origin.attempt)
        else if (command.name === 'routes') {
          const list = sessions.routes(origin.user, command.incarnation as Incarnation)
          origin.outlet.final(origin.token, origin.attempt, encodeRoutes(list))
        } else sessions.execute(origin, command)
      },
      beat: (p, gateway, item) => {
        const { user, handle, device, generation, position } = item
        this.#partitions.of(p)?.sessions.beat(user, gateway, handle, device, generation, position)
      },
      lost: (gateway, { handle, room, seq }) => {
        // R1: forget the route and send the event again by subject.
        const users = this.#routes.holders(gateway, handle)
        for (const user of users) this.#routes.drop(user)
        const frame = this.#partitions.of(this.#places.of(room))?.partition.recent(room, seq)
        if (frame !== undefined)
          for (const user of users) this.#outbound.live(user, undefined, frame)
      },
      routes: ({ user, sessions }) => this.#routes.changed(user, sessions),
      unreadable: (subject, err) =>
        this.#options.log.error({ subject, err }, 'envelope.unreadable'),
    }
  }

  async #askRoutes(user: UserId): Promise<readonly SessionRoute[] | undefined> {
    const own = this.#partitions.of(this.#places.of(user))
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
  #turn(): void {
    for (const partition of this.#turning.splice(0)) partition.turn()
    this.#outbound.flush()
  }

  #pulse(lost: boolean): void {
    const now = this.#options.clock.monotonic()
    for (const { partition, fold, sessions } of this.#partitions.all()) {
      partition.pulse(lost)
      fold.pulse(now)
      sessions.pulse(now)
    }
    this.#fullness.look()
    this.#pointers.pulse(lost)
    this.#pointers.flush()
    this.#outbound.flush()
  }

  #sweep(): void {
    const now = this.#options.clock.monotonic()
    for (const { partition, fold, sessions, queues, tombstones } of this.#partitions.all()) {
      partition.passivate(this.#options.clock.now() - this.#options.limits.roomIdleMs)
      fold.passivate(now)
      sessions.expire(now)
      queues.pulse()
      // Failures are logged and tried again.
      void tombstones.sweep()
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

  async drain(deadline: number): Promise<void> {
    const left = Math.ceil(Math.max(100, deadline - this.#options.clock.monotonic()))
    this.#partitions.close()
    await this.placement.drain(AbortSignal.timeout(left)).catch(() => undefined)
    await Promise.all(
      this.serving.map((p) => this.#partitions.resign(p, this.placement.successorOf(p), deadline)),
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
