/**
 * What a host has for the gateways, gathered over a loop turn: one envelope per gateway, each frame in it once.
 * Also the way back to whoever asked an actor by its own subject.
 */
import type { Bus } from '../bus/bus.ts'
import type { DeviceId, GatewayId, Incarnation, UserId } from '../ids.ts'
import {
  ENVELOPE_BYTES,
  type Handle,
  type Token,
  writeDeliver,
  writeKick,
  writeLive,
  writeMoved,
  writePointers,
  writeReply,
} from '../protocol/envelopes.ts'
import { Writer } from '../protocol/writer.ts'
import { gatewaySubject, liveSubject } from '../subjects.ts'

/** Where an answer goes. */
export interface Outlet {
  final(token: Token, attempt: number, frame: Uint8Array): void
  /** Refused for now (contracts O4). */
  later(token: Token, attempt: number, frame: Uint8Array): void
  moved(token: Token, attempt: number): void
}

/** Where a command came from. */
export type Origin = {
  readonly outlet: Outlet
  /** Undefined when it did not come from a session. */
  readonly gateway: GatewayId | undefined
  readonly token: Token
  readonly attempt: number
  readonly handle: Handle
  readonly user: UserId
  readonly device: DeviceId
}

/** One gateway's envelope under construction. */
export class GatewayOutlet implements Outlet {
  readonly gateway: GatewayId
  /** Sessions of this gateway that the frame being delivered goes to; see `Outbound.deliver`. */
  readonly handles: Handle[] = []
  readonly #writer = new Writer(4096)
  readonly #outbound: Outbound
  #head = 0

  constructor(gateway: GatewayId, outbound: Outbound) {
    this.gateway = gateway
    this.#outbound = outbound
    this.#head = this.#writer.str(outbound.incarnation).length
  }

  final(token: Token, attempt: number, frame: Uint8Array): void {
    writeReply(this.#open(), 'final', token, attempt, frame)
    this.#spill()
  }

  later(token: Token, attempt: number, frame: Uint8Array): void {
    writeReply(this.#open(), 'later', token, attempt, frame)
    this.#spill()
  }

  moved(token: Token, attempt: number): void {
    writeMoved(this.#open(), token, attempt)
    this.#spill()
  }

  deliver(frame: Uint8Array, handles: readonly Handle[]): void {
    writeDeliver(this.#open(), frame, handles)
    this.#spill()
  }

  pointers(position: number, frame: Uint8Array, handles: readonly Handle[]): void {
    writePointers(this.#open(), position, frame, handles)
    this.#spill()
  }

  kick(code: number, handles: readonly Handle[]): void {
    writeKick(this.#open(), code, handles)
    this.#spill()
  }

  #open(): Writer {
    if (this.#writer.length === this.#head) this.#outbound.opened(this)
    return this.#writer
  }

  #spill(): void {
    if (this.#writer.length > ENVELOPE_BYTES) this.flush()
  }

  flush(): void {
    if (this.#writer.length === this.#head) return
    this.#outbound.publish(gatewaySubject(this.gateway), this.#writer.view().slice())
    this.#writer.truncate(this.#head)
  }
}

/** Gateways that nothing was sent to for a while are forgotten at this many. */
const MAX_OUTLETS = 4096

export class Outbound {
  readonly incarnation: Incarnation
  readonly #bus: Bus
  readonly #outlets = new Map<GatewayId, GatewayOutlet>()
  readonly #live = new Writer(1024)
  #opened: GatewayOutlet[] = []
  readonly #schedule: () => void

  /** `schedule` asks for a `flush` at the end of this loop turn. */
  constructor(incarnation: Incarnation, bus: Bus, schedule: () => void) {
    this.incarnation = incarnation
    this.#bus = bus
    this.#schedule = schedule
  }

  outlet(gateway: GatewayId): GatewayOutlet {
    let outlet = this.#outlets.get(gateway)
    if (outlet === undefined) {
      if (this.#outlets.size >= MAX_OUTLETS) this.#forget()
      outlet = new GatewayOutlet(gateway, this)
      this.#outlets.set(gateway, outlet)
    }
    return outlet
  }

  #forget(): void {
    this.flush()
    this.#outlets.clear()
  }

  /** For all sessions of a user, wherever they are: dearer than handles, always right. */
  live(user: UserId, except: Origin | undefined, frame: Uint8Array): void {
    const from =
      except?.gateway === undefined ? undefined : { gateway: except.gateway, handle: except.handle }
    this.#bus.publish(liveSubject(user), writeLive(this.#live.reset(), from, frame).take())
  }

  opened(outlet: GatewayOutlet): void {
    if (this.#opened.length === 0) this.#schedule()
    this.#opened.push(outlet)
  }

  publish(subject: string, bytes: Uint8Array): void {
    this.#bus.publish(subject, bytes)
  }

  flush(): void {
    const opened = this.#opened
    if (opened.length === 0) return
    this.#opened = []
    for (const outlet of opened) outlet.flush()
  }
}

/** The way back to a caller who used request/reply on an actor's own subject: the frame itself, empty for `moved`. */
export class ReplyOutlet implements Outlet {
  readonly #bus: Bus
  readonly #subject: string

  constructor(bus: Bus, subject: string) {
    this.#bus = bus
    this.#subject = subject
  }

  final(_token: Token, _attempt: number, frame: Uint8Array): void {
    this.#bus.publish(this.#subject, frame)
  }

  later(_token: Token, _attempt: number, frame: Uint8Array): void {
    this.#bus.publish(this.#subject, frame)
  }

  /** A stale owner stays silent: the caller waits for the owner (contracts O3). */
  moved(): void {}
}
