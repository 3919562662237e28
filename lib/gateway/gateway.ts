/**
 * A gateway: client sockets on one side, the bus on the other. Owns its parts and their order of life; what happens
 * with a frame is in inbound.ts and handlers/, with a command in router.ts, with a reply in replies.ts.
 */
import type { Nats, Unsubscribe } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import { CLOSE, type CloseReason, type Refusal } from '../errors.ts'
import { type GatewayId, newGatewayId, type RoomId } from '../ids.ts'
import type { Log } from '../log.ts'
import { LIMITS } from '../protocol/frames.ts'
import { encodeUserCommand, type UserCommand } from '../protocol/user-commands.ts'
import type { Service } from '../service.ts'
import { gatewaySubject } from '../subjects.ts'
import { Admission } from './admission.ts'
import type { GatewayConfig } from './config.ts'
import { Delivery } from './delivery.ts'
import { Hub } from './hub.ts'
import { Inbound } from './inbound.ts'
import { Live } from './live.ts'
import { Outgoing } from './outgoing.ts'
import { watchOwners } from './owners.ts'
import { PartitionCache } from './partitions.ts'
import { PURPOSE, TARGET } from './pending.ts'
import { errorFrame } from './refusals.ts'
import { Replies } from './replies.ts'
import { Router } from './router.ts'
import type { Session, Socket } from './session.ts'
import { Turn } from './turn.ts'
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
}

export type Gateway = Service & {
  readonly id: GatewayId
  /** Known once started. */
  readonly port: number
  readonly url: string
}

const TICK_MS = 100

export const createGateway = (deps: GatewayDeps): Gateway => new GatewayService(deps)

class GatewayService implements Gateway {
  readonly name = 'gateway'
  readonly id = newGatewayId()
  readonly #deps: GatewayDeps
  readonly #config: GatewayConfig
  readonly #hub: Hub
  readonly #outgoing: Outgoing
  readonly #router: Router
  readonly #delivery: Delivery
  readonly #live: Live
  readonly #admission: Admission
  readonly #inbound: Inbound
  readonly #replies: Replies
  readonly #partitions: PartitionCache
  readonly #stops: Unsubscribe[] = []
  #listener: Listener | undefined
  #tick: NodeJS.Timeout | undefined

  constructor(deps: GatewayDeps) {
    this.#deps = deps
    const { config, nats, clock, verifier, resume } = deps
    this.#config = config
    const turn = new Turn(() => this.#flush())
    const bad = (err: unknown): void => deps.log.error({ err }, 'gateway.bad_envelope')
    this.#hub = new Hub(config.maxSessions, config.outboxBytes)
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
    this.#admission = new Admission({
      config,
      clock,
      verifier,
      resume,
      live: this.#live,
      router: this.#router,
      delivery: this.#delivery,
      partitions: this.#partitions,
      end: this.#end,
    })
    this.#inbound = new Inbound({
      config,
      clock,
      admission: this.#admission,
      delivery: this.#delivery,
      toRoom: this.#toRoom,
      toUser: this.#toUser,
      refuse: this.#refuse,
      end: this.#end,
    })
    this.#replies = new Replies({
      hub: this.#hub,
      router: this.#router,
      delivery: this.#delivery,
      outgoing: this.#outgoing,
      now: () => clock.monotonic(),
      onAdmission: (session, frame) => this.#admission.answered(session, frame),
      onPointers: (session, frame, position) => {
        if (position > session.position) session.position = position
        this.#delivery.deliver(session, frame)
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
    const { nats, clock } = this.#deps
    signal.throwIfAborted()
    this.#stops.push(
      nats.subscribe(gatewaySubject(this.id), (message) => this.#replies.onMessage(message)),
    )
    const owners = await nats.bucket('owners')
    this.#stops.push(
      await watchOwners(owners, (p, owner) => {
        this.#router.owner(p, owner, clock.monotonic())
      }),
    )
    this.#stops.push(nats.onGap(() => this.#router.gap(clock.monotonic())))
    this.#tick = setInterval(() => this.#onTick(), TICK_MS)
    this.#listener = await listen<Session>({
      host: this.#config.host,
      port: this.#config.port,
      sharePort: this.#config.sharePort,
      tls: this.#config.tls,
      maxMessage: LIMITS.message,
      maxKept: this.#config.outboxBytes * 2,
      idleSeconds: 120,
      admit: (knock) => ({ address: knock.remote }),
      opened: (socket: Socket, address) => this.#hub.open(socket, address, clock.monotonic()),
      message: (session, bytes, isBinary) =>
        this.#inbound.message(session, bytes, isBinary, clock.monotonic()),
      drained: (session) => this.#delivery.drained(session),
      closed: (session) => this.#forget(session),
    })
  }

  async drain(_deadline: number): Promise<void> {
    this.#listener?.close()
    clearInterval(this.#tick)
    for (const stop of this.#stops) stop()
    await this.#deps.nats.flush()
  }

  #flush(): void {
    this.#outgoing.flush()
    this.#delivery.flush()
  }

  #onTick(): void {
    this.#router.tick(this.#deps.clock.monotonic())
  }

  #toRoom = (session: Session, room: RoomId, req: number, frame: Uint8Array): void => {
    const refusal = this.#router.submit(
      session,
      this.#partitions.of(room),
      TARGET.room,
      PURPOSE.reply,
      req,
      frame,
      session.heard,
    )
    if (refusal !== undefined) this.#refuse(session, req, refusal)
  }

  #toUser = (session: Session, req: number, command: UserCommand): void => {
    const refusal = this.#router.submit(
      session,
      session.partition,
      TARGET.user,
      PURPOSE.reply,
      req,
      encodeUserCommand(command),
      session.heard,
    )
    if (refusal !== undefined) this.#refuse(session, req, refusal)
  }

  #refuse = (session: Session, req: number, refusal: Refusal): void => {
    this.#delivery.push(session, errorFrame(req, refusal))
  }

  #gaveUp(session: Session, purpose: number, req: number, refusal: Refusal): void {
    if (purpose === PURPOSE.hello) this.#admission.refused(session, refusal)
    else this.#refuse(session, req, refusal)
  }

  #end = (session: Session, reason: CloseReason, last?: Uint8Array): void => {
    this.#delivery.finish(session, last)
    session.socket.end(CLOSE[reason].number, reason)
  }

  #kick(session: Session, code: number): void {
    if (session.step('kicked') !== 'close') return
    this.#delivery.finish(session, undefined)
    session.socket.end(code, 'kicked')
  }

  #forget(session: Session): void {
    session.step('gone')
    this.#hub.remove(session)
    if (session.user !== '') {
      this.#live.leave(session)
      this.#router
        .envelopeOf(session.partition)
        ?.command('user', 0, 0, session, encodeUserCommand({ name: 'bye' }))
    }
  }
}
