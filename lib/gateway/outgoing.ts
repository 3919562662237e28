/**
 * Envelopes to hosts: whatever is for one host in a loop turn leaves as one message on its subject (contracts O3).
 * What cannot leave because the connection is down is dropped; commands are sent again after the gap.
 */
import type { Bus } from '../bus/bus.ts'
import type { GatewayId, Incarnation, RoomId } from '../ids.ts'
import {
  ENVELOPE_BYTES,
  type Handle,
  type Stamp,
  type Token,
  writeBeat,
  writeLost,
  writeRoomCommand,
} from '../protocol/envelopes.ts'
import { Writer } from '../protocol/writer.ts'
import { hostSubject } from '../subjects.ts'

export class Envelope {
  readonly host: Incarnation
  readonly #subject: string
  readonly #outgoing: Outgoing
  readonly #writer = new Writer(4096)

  constructor(host: Incarnation, outgoing: Outgoing) {
    this.host = host
    this.#subject = hostSubject(host)
    this.#outgoing = outgoing
  }

  command(
    kind: 'room' | 'user',
    token: Token,
    attempt: number,
    stamp: Stamp,
    frame: Uint8Array,
  ): void {
    writeRoomCommand(this.#open(), kind, token, attempt, stamp, frame)
    this.#limit()
  }

  lost(handle: Handle, room: RoomId, seq: number): void {
    writeLost(this.#open(), handle, room, seq)
    this.#limit()
  }

  beat(stamp: Stamp, generation: number, position: number): void {
    writeBeat(this.#open(), stamp, generation, position)
    this.#limit()
  }

  flush(): void {
    if (this.#writer.length === 0) return
    const bus = this.#outgoing.bus
    // The connection keeps what it is given until it writes it, so it gets a copy.
    if (bus.connected) {
      this.#outgoing.envelopes++
      bus.publish(this.#subject, this.#writer.take())
    } else this.#writer.reset()
  }

  #open(): Writer {
    if (this.#writer.length === 0) {
      this.#writer.str(this.#outgoing.gateway)
      this.#outgoing.opened(this)
    }
    return this.#writer
  }

  #limit(): void {
    if (this.#writer.length >= ENVELOPE_BYTES) this.flush()
  }
}

export class Outgoing {
  readonly bus: Pick<Bus, 'publish' | 'connected'>
  readonly gateway: GatewayId
  readonly #schedule: () => void
  readonly #envelopes = new Map<Incarnation, Envelope>()
  #open: Envelope[] = []
  /** How many have left. */
  envelopes = 0

  /** `schedule` asks for `flush` at the end of the loop turn. */
  constructor(bus: Pick<Bus, 'publish' | 'connected'>, gateway: GatewayId, schedule: () => void) {
    this.bus = bus
    this.gateway = gateway
    this.#schedule = schedule
  }

  to(host: Incarnation): Envelope {
    let envelope = this.#envelopes.get(host)
    if (envelope === undefined) {
      envelope = new Envelope(host, this)
      this.#envelopes.set(host, envelope)
    }
    return envelope
  }

  opened(envelope: Envelope): void {
    this.#open.push(envelope)
    this.#schedule()
  }

  flush(): void {
    for (const envelope of this.#open) envelope.flush()
    this.#open.length = 0
  }

  /** Forgets hosts that own nothing any more. */
  keep(hosts: ReadonlySet<Incarnation>): void {
    for (const host of this.#envelopes.keys()) {
      if (!hosts.has(host)) this.#envelopes.delete(host)
    }
  }
}
