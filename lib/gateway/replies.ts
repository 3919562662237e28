/** What hosts send to this gateway, item by item: replies by token, frames by handle, kicks. */
import type { Message } from '../bus/bus.ts'
import type { Incarnation } from '../ids.ts'
import { readFrame } from '../protocol/codec.ts'
import { type GatewaySink, type Handle, readToGateway, type Token } from '../protocol/envelopes.ts'
import { FRAMES } from '../protocol/frames.ts'
import { readEvent } from '../protocol/hot.ts'
import { Reader } from '../protocol/reader.ts'
import type { Delivery } from './delivery.ts'
import type { Hub } from './hub.ts'
import type { Outgoing } from './outgoing.ts'
import { NONE, PURPOSE } from './pending.ts'
import type { Router } from './router.ts'
import type { Session } from './session.ts'

export type RepliesDeps = {
  readonly hub: Hub
  readonly router: Router
  readonly delivery: Delivery
  readonly outgoing: Outgoing
  /** Monotonic ms. */
  readonly now: () => number
  /** The actor's answer to a hello. */
  readonly onAdmission: (session: Session, frame: Uint8Array) => void
  /** A room's answer to a fetch for a durable queue. */
  readonly onEvents: (session: Session, ticket: number, frame: Uint8Array) => void
  /** The actor has given the device a durable queue, or taken it away. */
  readonly onQueue: (session: Session, on: boolean) => void
  readonly onKick: (session: Session, code: number) => void
  readonly bad: (error: unknown) => void
}

export class Replies implements GatewaySink {
  readonly stats = { envelopesIn: 0, lost: 0 }
  readonly #deps: RepliesDeps
  #host = '' as Incarnation

  constructor(deps: RepliesDeps) {
    this.#deps = deps
  }

  onMessage(message: Message): void {
    this.stats.envelopesIn++
    try {
      readToGateway(message.data, this.#from)
    } catch (error) {
      this.#deps.bad(error)
    }
  }

  #from = (host: Incarnation): this => {
    this.#host = host
    return this
  }

  final(token: Token, _attempt: number, frame: Uint8Array): void {
    const { router } = this.#deps
    const slot = router.pending.find(token)
    if (slot !== NONE) this.#answer(slot, frame)
  }

  later(token: Token, attempt: number, frame: Uint8Array): void {
    const { router } = this.#deps
    const slot = router.pending.find(token)
    if (slot !== NONE && router.isCurrent(slot, attempt)) this.#answer(slot, frame)
  }

  moved(token: Token, attempt: number): void {
    const { router, now } = this.#deps
    const slot = router.pending.find(token)
    if (slot !== NONE) router.moved(slot, attempt, now())
  }

  deliver(handle: Handle, frame: Uint8Array): void {
    const session = this.#deps.hub.get(handle)
    if (session === undefined) this.#lost(handle, frame)
    else this.#deps.delivery.deliver(session, frame)
  }

  pointers(handle: Handle, frame: Uint8Array, position: number): void {
    const session = this.#deps.hub.get(handle)
    if (session === undefined) return
    if (position > session.position) session.position = position
    else if (position < session.position) restart(session, frame)
    this.#deps.delivery.deliver(session, frame)
  }

  kick(handle: Handle, code: number): void {
    const session = this.#deps.hub.get(handle)
    if (session !== undefined) this.#deps.onKick(session, code)
  }

  #answer(slot: number, frame: Uint8Array): void {
    const { router, delivery, onAdmission, onEvents, onQueue } = this.#deps
    const session = router.pending.session[slot]!
    const purpose = router.pending.purpose[slot]
    const req = router.pending.req[slot]!
    router.settle(slot)
    if (purpose === PURPOSE.hello) onAdmission(session, frame)
    else if (purpose === PURPOSE.events) onEvents(session, req, frame)
    else {
      delivery.push(session, frame)
      if (purpose === PURPOSE.reply || frame[1] !== FRAMES.ok.type) return
      onQueue(session, purpose === PURPOSE.queueOn)
    }
  }

  /** The host's route is stale: it must find another way for this event (contracts R1). */
  #lost(handle: Handle, frame: Uint8Array): void {
    if (frame[1] !== FRAMES.event.type) return
    const event = readEvent(new Reader(frame))
    this.stats.lost++
    this.#deps.outgoing.to(this.#host).lost(handle, event.room, event.seq)
  }
}

/** A position falls only when the stream was made anew: then it counts in the new one (contracts I4). */
const restart = (session: Session, frame: Uint8Array): void => {
  const changes = readFrame(new Reader(frame))
  if (changes.name !== 'changes' || changes.cursor === null) return
  if (changes.cursor.stream === session.stream) return
  session.stream = changes.cursor.stream
  session.position = changes.cursor.position
}
