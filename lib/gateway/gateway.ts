/**
 * A gateway: client sockets on one side, the bus on the other. Owns its parts and their order of life; what happens
 * with a frame is in inbound.ts and handlers/, with a command in router.ts, with a reply in replies.ts.
 */
import type { Nats, Unsubscribe } from '../bus/bus.ts'
import type { Owner } from '../bus/cluster.ts'
import type { Clock } from '../clock.ts'
import { CLOSE, type CloseReason, type Refusal } from '../errors.ts'
import { type GatewayId, newGatewayId } from '../ids.ts'
import type { Log } from '../log.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { LIMITS } from '../protocol/frames.ts'
import { encodeUserCommand } from '../protocol/user-commands.ts'
import type { Service } from '../service.ts'
import { gatewaySubject } from '../subjects.ts'
import { Turn } from '../turn.ts'
import { Admission } from './admission.ts'
import { Commands } from './commands.ts'
import type { GatewayConfig } from './config.ts'
import { Delivery } from './delivery.ts'
import { Door } from './door.ts'
import { drainSessions } from './drain.ts'
import { Hub } from './hub.ts'
import { Inbound } from './inbound.ts'
import { Limits } from './limits.ts'
import { Live } from './live.ts'
import { Outgoing } from './outgoing.ts'
import { watchOwners } from './owners.ts'
import { PartitionCache } from './partitions.ts'
import { PURPOSE } from './pending.ts'
import type { QueueConsumer } from './queue-feed.ts'
import { QueueFeeds } from './queue-feeds.ts'
import { errorFrame } from './refusals.ts'
import { Registry } from './registry.ts'
import { Replies } from './replies.ts'
import { Rounds, TICK_MS } from './rounds.ts'
import { Router } from './router.ts'
import type { Session } from './session.ts'
import type { GatewayStats } from './stats.ts'
import { type Listener, listen } from './uws.ts'
import type { Identity, Verifier } from './verifier.ts'

export type GatewayDeps = {
  readonly nats: Nats
  readonly verifier: Verifier
  /** A resume token for who was admitted. */
  readonly resume: (identity: Identity) => string
  readonly config: GatewayConfig
  readonly clock: Clock
  readonly log: Log
  /** The durable queues of devices (contracts I5); without it none is served. */
  readonly queueConsumer?: QueueConsumer
  /** 0 ≤ r < 1, for jitter; Math.random when absent. */
  readonly random?: () => number
}

export type Gateway = Service & {
  readonly id: GatewayId
  /** Known once started. */
  readonly port: number
  readonly url: string
  stats(): GatewayStats
}

/** How often hosts are forgotten that own nothing any more. */
const SWEEP_MS = 30_000

const BYE = encodeUserCommand({ name: 'bye' })

/** @throws RangeError when the trusted proxies of the configuration make no sense. */
export const createGateway = (deps: GatewayDeps): Gateway => new GatewayService(deps)

class GatewayService implements Gateway {
  readonly name = 'gateway'
  readonly id = newGatewayId()
  readonly #deps: GatewayDeps
  readonly #config: GatewayConfig
  readonly #hub: Hub
  readonly #door: Door
  readonly #limits: Limits
  readonly #outgoing: Outgoing
  readonly #router: Router
  readonly #delivery: Delivery
  readonly #live: Live
  readonly #admission: Admission
  readonly #inbound: Inbound
  readonly #replies: Replies
  readonly #rounds: Rounds
  readonly #partitions: PartitionCache
  readonly #commands: Commands
  readonly #queues: QueueFeeds | undefined
  readonly #closes: Partial<Record<CloseReason, number>> = {}
  #stops: Unsubscribe[] = []
  #registry: Registry | undefined
  #listener: Listener | undefined
  #draining = false
  #swept = 0

  constructor(deps: GatewayDeps) {
    this.#deps = deps
    const { config, nats, clock, verifier, resume } = deps
    this.#config = config
    const turn = new Turn(() => this.#flush())
    const bad = (err: unknown): void => deps.log.error({ err }, 'gateway.bad_envelope')
    this.#hub = new Hub(config.maxSessions, config.outboxBytes)
    this.#door = new Door(config)
    this.#limits = new Limits(config)
    this.#partitions = new PartitionCache(config.partitions)
    this.#outgoing = new Outgoing(nats, this.id, turn.schedule)
    this.#router = new Router(config, this.#outgoing, (...given) => this.#gaveUp(...given))
    this.#delivery = new Delivery(turn.schedule, (session) => {
      if (session.step('overflow') === 'close') this.#end(session, 'slow')
    })
    this.#live = new Live(
      nats,
      this.id,
      (session, frame) => this.#delivery.deliver(session, frame),
      bad,
    )
    this.#rounds = new Rounds({
      config,
      hub: this.#hub,
      envelopeOf: (p) => this.#router.envelopeOf(p),
      random: deps.random ?? Math.random,
      onLate: (session) => {
        if (session.step('late') === 'close') this.#end(session, 'auth_timeout')
      },
      onSilent: (session) => {
        if (session.step('silent') === 'close') this.#end(session, 'idle')
      },
    })
    const { queueConsumer } = deps
    this.#commands = new Commands({
      router: this.#router,
      partitions: this.#partitions,
      clock,
      queues: queueConsumer !== undefined,
      refuse: this.#refuse,
    })
    this.#queues =
      queueConsumer &&
      new QueueFeeds({
        streams: nats.streams,
        consumer: queueConsumer,
        push: (session, frame) => this.#delivery.push(session, frame),
        fetch: this.#commands.fetch,
        failed: ({ user, device }, err) =>
          deps.log.warn({ user, device, err }, 'queue.interrupted'),
      })
    this.#admission = new Admission({
      config,
      clock,
      verifier,
      resume,
      live: this.#live,
      router: this.#router,
      delivery: this.#delivery,
      partitions: this.#partitions,
      limits: this.#limits,
      onQueue: (session) => this.#queues?.start(session),
      end: this.#end,
    })
    this.#inbound = new Inbound(
      {
        config,
        clock,
        admission: this.#admission,
        delivery: this.#delivery,
        toRoom: this.#commands.toRoom,
        toUser: this.#commands.toUser,
        toQueue: this.#commands.toQueue,
        queueAck: (session, n) => this.#queues?.ack(session, n) === true,
        refuse: this.#refuse,
        end: this.#end,
        failed: (err) => deps.log.error({ err }, 'gateway.frame_failed'),
      },
      this.#limits,
    )
    this.#replies = new Replies({
      hub: this.#hub,
      router: this.#router,
      delivery: this.#delivery,
      outgoing: this.#outgoing,
      now: () => clock.monotonic(),
      onAdmission: (session, frame) => this.#admission.answered(session, frame),
      onEvents: (...given) => this.#queues?.answered(...given),
      onQueue: (session, on) => {
        if (on) this.#queues?.start(session)
        else this.#queues?.stop(session)
      },
      onKick: (session, code) => this.#kick(session, code),
      bad,
    })
  }

  get port(): number {
    return this.#listener?.port ?? 0
  }

  get url(): string {
    const { url, tls, host } = this.#config
    return url ?? `${tls === undefined ? 'ws' : 'wss'}://${host}:${this.port}`
  }

  async start(signal: AbortSignal): Promise<void> {
    try {
      await this.#start(signal)
    } catch (error) {
      this.#stop()
      throw error
    }
    this.#deps.log.info({ gateway: this.id, url: this.url }, 'gateway.started')
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { nats, clock, log } = this.#deps
    signal.throwIfAborted()
    this.#stops.push(
      nats.subscribe(gatewaySubject(this.id), (message) => this.#replies.onMessage(message)),
      nats.onGap(() => this.#onGap()),
    )
    const owners = await nats.bucket('owners')
    signal.throwIfAborted()
    const onOwner = (p: number, owner: Owner | undefined): void => this.#onOwner(p, owner)
    this.#stops.push(await watchOwners(owners, nats, onOwner, signal))
    const bucket = await nats.bucket('gateways')
    signal.throwIfAborted()
    this.#listener = await this.#listen()
    this.#registry = new Registry(bucket, this.#config.entryMs, () => this.#entry(), log)
    await this.#registry.put()
    const timer = setInterval(() => this.#tick(clock.monotonic()), TICK_MS)
    this.#stops.push(() => clearInterval(timer))
  }

  #listen(): Promise<Listener> {
    const { clock } = this.#deps
    const { host, port, sharePort, tls, outboxBytes, heartbeatMs } = this.#config
    return listen<Session>({
      host,
      port,
      sharePort,
      tls,
      // What is a little too large gets a typed refusal (inbound.ts), what is more so is cut off unread.
      maxMessage: 2 * LIMITS.message,
      // An outbox is given to a socket that keeps nothing back, so this much is never kept but for one larger frame.
      maxKept: 2 * outboxBytes + 16 * LIMITS.message,
      // Rounds end silent sessions before; this is for sockets that do not finish closing.
      idleSeconds: Math.min(960, Math.max(8, Math.ceil((4 * heartbeatMs) / 1000))),
      admit: (knock) =>
        this.#door.admit(knock, this.#hub.full || this.#draining, clock.monotonic()),
      opened: (socket, address) => {
        const session = this.#hub.open(socket, address, clock.monotonic())
        this.#limits.start(session)
        this.#rounds.opened(session)
        return session
      },
      message: (session, bytes, isBinary) =>
        this.#inbound.message(session, bytes, isBinary, clock.monotonic()),
      drained: (session) => this.#delivery.drained(session),
      closed: (session) => this.#forget(session),
    })
  }

  /** Sends the clients elsewhere, waits for what they have under way, and leaves. */
  async drain(deadline: number): Promise<void> {
    const { clock, log, nats } = this.#deps
    this.#draining = true
    this.#listener?.stop()
    // Without NATS nobody can be told, and clients must not wait for that; the entry dies by itself.
    if (nats.connected) await this.#registry?.put()
    const goaway = encodeFrame('goaway', { retryAfter: this.#config.drainSpreadMs })
    const deps = {
      hub: this.#hub,
      clock,
      spreadMs: this.#config.drainSpreadMs,
      goaway: (session: Session) => {
        const action = session.step('drain')
        if (action === 'goaway') this.#delivery.push(session, goaway)
        else if (action === 'close') this.#end(session, 'drain')
      },
      end: (session: Session) => {
        if (session.step('kicked') === 'close') this.#end(session, 'drain')
      },
    }
    await drainSessions(deps, deadline)
    this.#listener?.close()
    this.#flush()
    if (nats.connected) {
      await this.#registry?.remove()
      await nats.flush().catch((err: unknown) => log.warn({ err }, 'gateway.flush_failed'))
    }
    this.#stop()
    log.info({ gateway: this.id }, 'gateway.stopped')
  }

  #stop(): void {
    this.#queues?.stopAll()
    for (const stop of this.#stops) stop()
    this.#stops = []
    this.#listener?.close()
  }

  stats(): GatewayStats {
    const { pending, stats } = this.#router
    return {
      sessions: this.#hub.count,
      users: this.#live.users,
      queues: this.#queues?.count ?? 0,
      outstanding: pending.count,
      ...this.#inbound.stats,
      ...this.#delivery.stats,
      envelopesOut: this.#outgoing.envelopes,
      ...this.#replies.stats,
      ...stats,
      turnedAway: this.#door.turnedAway,
      closes: { ...this.#closes },
    }
  }

  #entry() {
    const { id: gateway, url } = this
    const time = this.#deps.clock.now()
    return { gateway, url, sessions: this.#hub.count, draining: this.#draining, time }
  }

  #flush(): void {
    this.#outgoing.flush()
    this.#delivery.flush()
  }

  #tick(now: number): void {
    if (now - this.#swept > SWEEP_MS) {
      this.#swept = now
      this.#outgoing.keep(this.#router.hosts())
    }
    this.#router.tick(now)
    this.#rounds.tick(now)
    // A put that NATS does not hear hangs until its time is over, and none follows it meanwhile.
    if (this.#deps.nats.connected) this.#registry?.tick(now)
  }

  #onOwner(p: number, owner: Owner | undefined): void {
    const now = this.#deps.clock.monotonic()
    if (this.#router.owner(p, owner, now)) this.#rounds.announce(p, now)
  }

  /** Whatever was under way may be lost: commands are sent again, sessions announced, pointers asked for. */
  #onGap(): void {
    const now = this.#deps.clock.monotonic()
    this.#router.gap(now)
    this.#rounds.announceAll(now)
  }

  #refuse = (session: Session, req: number, refusal: Refusal): void => {
    this.#delivery.push(session, errorFrame(req, refusal))
  }

  #gaveUp(session: Session, purpose: number, req: number, refusal: Refusal): void {
    if (purpose === PURPOSE.hello) this.#admission.refused(session, refusal)
    else if (purpose === PURPOSE.events) this.#queues?.refused(session, req, refusal)
    else this.#refuse(session, req, refusal)
  }

  #end = (session: Session, reason: CloseReason, last?: Uint8Array): void => {
    this.#closes[reason] = (this.#closes[reason] ?? 0) + 1
    this.#deps.log.debug(
      { code: CLOSE[reason].number, user: session.user, device: session.device },
      'session.closed',
    )
    this.#delivery.finish(session, last)
    session.socket.end(CLOSE[reason].number, reason)
  }

  #kick(session: Session, code: number): void {
    if (session.step('kicked') === 'close') this.#end(session, closeReason(code))
  }

  /** The socket is gone: nothing of the session is kept but the bucket of its device. */
  #forget(session: Session): void {
    session.step('gone')
    this.#queues?.stop(session)
    this.#hub.remove(session)
    this.#door.out(session.address)
    if (session.user === '') return
    this.#live.leave(session)
    this.#limits.remember(session)
    this.#router.envelopeOf(session.partition)?.command('user', 0, 0, session, BYE)
  }
}

const REASONS = new Map<number, CloseReason>(
  (Object.keys(CLOSE) as CloseReason[]).map((reason) => [CLOSE[reason].number, reason]),
)

/** A code that a newer host sent and that is not known here still says whether to come back. */
const closeReason = (code: number): CloseReason =>
  REASONS.get(code) ?? (code < 4500 ? 'internal' : 'unauthorized')
