/**
 * From hello to welcome: the token is verified, an older session of the same device makes room, the user's live
 * subject is subscribed, then the user's actor is asked, and its answer is made the welcome. In this order: what comes
 * to be after the answer is heard live (docs/ARCHITECTURE.md, Catching up).
 */
import type { Clock } from '../clock.ts'
import { type CloseReason, ERRORS, type ErrorCode, errorByNumber, type Refusal } from '../errors.ts'
import { FRAMES, type Frame, VERSION } from '../protocol/frames.ts'
import { Reader } from '../protocol/reader.ts'
import { decodeAdmitted, encodeUserCommand } from '../protocol/user-commands.ts'
import { Writer } from '../protocol/writer.ts'
import type { GatewayConfig } from './config.ts'
import type { Delivery } from './delivery.ts'
import type { Limits } from './limits.ts'
import type { Live } from './live.ts'
import type { PartitionCache } from './partitions.ts'
import { PURPOSE, TARGET } from './pending.ts'
import { errorFrame } from './refusals.ts'
import type { Router } from './router.ts'
import type { Session } from './session.ts'
import type { Identity, Verifier } from './verifier.ts'

export type AdmissionDeps = {
  readonly config: GatewayConfig
  readonly clock: Clock
  readonly verifier: Verifier
  /** A resume token for who was admitted. */
  readonly resume: (identity: Identity) => string
  readonly live: Live
  readonly router: Router
  readonly delivery: Delivery
  readonly partitions: PartitionCache
  readonly limits: Limits
  /** The device of a session that was welcomed has a durable queue. */
  readonly onQueue: (session: Session) => void
  /** Ends a session whose state is closed already, with a last frame that says why. */
  readonly end: (session: Session, reason: CloseReason, last?: Uint8Array) => void
}

/** How a refused hello ends the connection. */
const CLOSE_BY_ERROR: Partial<Record<ErrorCode, CloseReason>> = {
  unauthorized: 'unauthorized',
  token_expired: 'token_expired',
  device_removed: 'device_removed',
  version: 'version',
}

const closeReason = (code: ErrorCode): CloseReason =>
  CLOSE_BY_ERROR[code] ?? (ERRORS[code].temporary ? 'overloaded' : 'unauthorized')

export class Admission {
  readonly #deps: AdmissionDeps
  readonly #writer = new Writer(4096)

  constructor(deps: AdmissionDeps) {
    this.#deps = deps
  }

  /** The action `verify`. */
  verify(session: Session, hello: Frame<'hello'>): void {
    session.helloReq = hello.req
    if (hello.version !== VERSION) {
      this.refused(session, { refused: 'version', detail: `This server speaks ${VERSION}.` })
      return
    }
    const verdict = this.#deps.verifier.verify(hello.token)
    if (verdict instanceof Promise) {
      verdict.then(
        (found) => this.#verified(session, hello, found),
        () => this.refused(session, { refused: 'internal' }),
      )
    } else this.#verified(session, hello, verdict)
  }

  #verified(session: Session, hello: Frame<'hello'>, verdict: Identity | Refusal): void {
    if ('refused' in verdict) {
      this.refused(session, verdict)
      return
    }
    if (session.step('verified') !== 'ask') return
    const { live, router, partitions, clock, end } = this.#deps
    session.user = verdict.user
    session.device = verdict.device
    session.generation = verdict.generation
    session.partition = partitions.of(verdict.user)
    session.lineage = hello.lineage
    session.identity = verdict
    // Two tabs of one profile may stay side by side (contracts N6); one outbox that comes back ends its former self.
    for (const other of live.sessionsOf(verdict.user).slice()) {
      const same = other.device === verdict.device && other.lineage === hello.lineage
      if (same && hello.lineage !== null && other.step('kicked') === 'close') end(other, 'replaced')
    }
    live.join(session)
    const command = encodeUserCommand({
      name: 'hello',
      req: hello.req,
      generation: verdict.generation,
      cursor: hello.cursor,
      wantsLineage: hello.lineage === null,
    })
    const refusal = router.submit(
      session,
      session.partition,
      TARGET.user,
      PURPOSE.hello,
      hello.req,
      command,
      clock.monotonic(),
    )
    if (refusal !== undefined) this.refused(session, refusal)
  }

  /** Ends a session whose hello is refused, here or by the actor. */
  refused(session: Session, refusal: Refusal): void {
    if (session.step('refused') !== 'close') return
    this.#deps.end(session, closeReason(refusal.refused), errorFrame(session.helloReq, refusal))
  }

  /** The actor's answer: `admitted`, which starts with an integer, or an `error` frame, which is an array. */
  answered(session: Session, frame: Uint8Array): void {
    if (session.state !== 'asking') return
    if ((frame[0]! & 0xf0) === 0x90) {
      const reader = new Reader(frame)
      reader.array()
      reader.uint()
      reader.uint()
      const code = errorByNumber(reader.uint())
      if (session.step('refused') === 'close') this.#deps.end(session, closeReason(code), frame)
      return
    }
    const { identity } = session
    if (identity === undefined || session.step('admitted') !== 'welcome') return
    session.identity = undefined
    this.#welcome(session, identity, frame)
  }

  #welcome(session: Session, identity: Identity, admitted: Uint8Array): void {
    const { config, clock, resume, delivery, limits, onQueue } = this.#deps
    const { lineage, queue, rest } = decodeAdmitted(admitted)
    session.lineage ??= lineage
    const cursor = new Reader(rest)
    if (!cursor.nil()) {
      cursor.array()
      session.stream = cursor.str(64)
      session.position = cursor.uint()
    }
    // The last four fields are the actor's, as they are.
    this.#writer
      .reset()
      .array(1 + Object.keys(FRAMES.welcome.fields).length)
      .uint(FRAMES.welcome.type)
      .uint(session.helloReq)
      .str(session.user)
      .str(session.device)
      .uint(clock.now())
      .uint(config.heartbeatMs)
      .uint(session.lineage)
      .str(resume(identity))
      .uint(config.textBytes)
      .raw(rest)
    delivery.push(session, this.#writer.view())
    delivery.release(session)
    limits.recall(session, clock.monotonic())
    if (queue) onQueue(session)
  }
}
