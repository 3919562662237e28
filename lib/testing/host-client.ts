/** Speaks to hosts as a gateway does, in envelopes over NATS, for any user, and keeps what it is told. */
import type { Outlet } from '../actor/outbound.ts'
import type { Nats } from '../bus/bus.ts'
import { type DeviceId, type Incarnation, newGatewayId, type UserId } from '../ids.ts'
import { readFrame } from '../protocol/codec.ts'
import { readToGateway, writeRoomCommand } from '../protocol/envelopes.ts'
import { Reader } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'
import { gatewaySubject, hostSubject } from '../subjects.ts'
import type { Target } from './test-sender.ts'

export type Reply = ReturnType<typeof readFrame>

const frameOf = (bytes: Uint8Array) => readFrame(new Reader(bytes.slice()))

/** What one command was answered. */
export class Asked implements Outlet {
  answer: Reply | undefined
  readonly laters: Reply[] = []
  moves = 0

  final(_token: number, _attempt: number, frame: Uint8Array): void {
    this.answer = frameOf(frame)
  }

  later(_token: number, _attempt: number, frame: Uint8Array): void {
    this.laters.push(frameOf(frame))
  }

  moved(): void {
    this.moves++
  }
}

export class HostClient {
  readonly gateway = newGatewayId()
  readonly #nats: Nats
  readonly #outlets = new Map<number, Outlet>()
  readonly #stop: () => void
  #token = 0

  constructor(nats: Nats) {
    this.#nats = nats
    this.#stop = nats.subscribe(gatewaySubject(this.gateway), ({ data }) =>
      readToGateway(data, () => ({
        final: (token, attempt, frame) => this.#outlets.get(token)?.final(token, attempt, frame),
        later: (token, attempt, frame) => this.#outlets.get(token)?.later(token, attempt, frame),
        moved: (token, attempt) => this.#outlets.get(token)?.moved(token, attempt),
        deliver: () => {},
        pointers: () => {},
        kick: () => {},
      })),
    )
  }

  /** One envelope with these clients' frames for rooms. */
  ask(host: Incarnation, user: UserId, ...frames: readonly Uint8Array[]): Asked[] {
    const asked = frames.map(() => new Asked())
    this.#send(
      host,
      user,
      frames.map((frame, i) => ({ frame, attempt: 0, outlet: asked[i]! })),
    )
    return asked
  }

  /** For senders: to whatever host serves now; while none does, it has moved. */
  to(host: () => Incarnation | undefined): Target {
    return {
      put: (user, frame, attempt, outlet) => {
        const now = host()
        if (now === undefined) outlet.moved(0, attempt)
        else this.#send(now, user, [{ frame, attempt, outlet }])
      },
    }
  }

  #send(
    host: Incarnation,
    user: UserId,
    commands: readonly { frame: Uint8Array; attempt: number; outlet: Outlet }[],
  ): void {
    const writer = new Writer().str(this.gateway)
    for (const { frame, attempt, outlet } of commands) {
      const token = ++this.#token
      this.#outlets.set(token, outlet)
      const stamp = { handle: token, user, device: 'vtest' as DeviceId }
      writeRoomCommand(writer, 'room', token, attempt, stamp, frame)
    }
    this.#nats.publish(hostSubject(host), writer.take())
  }

  /** Anything. */
  raw(host: Incarnation, bytes: Uint8Array): void {
    this.#nats.publish(hostSubject(host), bytes)
  }

  close(): void {
    this.#stop()
  }
}
