/** Speaks to hosts as a gateway does, in envelopes over NATS, for any user, and keeps what it is told. */
import type { Nats } from '../bus/bus.ts'
import { type DeviceId, type Incarnation, newGatewayId, type UserId } from '../ids.ts'
import { readFrame } from '../protocol/codec.ts'
import { readToGateway, writeRoomCommand } from '../protocol/envelopes.ts'
import { Reader } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'
import { gatewaySubject, hostSubject } from '../subjects.ts'

export type Reply = ReturnType<typeof readFrame>

/** What one command was answered. */
export class Asked {
  final: Reply | undefined
  readonly laters: Reply[] = []
  moved = 0
}

export class HostClient {
  readonly gateway = newGatewayId()
  readonly #nats: Nats
  readonly #asked = new Map<number, Asked>()
  readonly #stop: () => void
  #token = 0

  constructor(nats: Nats) {
    this.#nats = nats
    const frameOf = (bytes: Uint8Array) => readFrame(new Reader(bytes.slice()))
    this.#stop = nats.subscribe(gatewaySubject(this.gateway), ({ data }) =>
      readToGateway(data, () => ({
        final: (token, _attempt, bytes) => {
          const asked = this.#asked.get(token)
          if (asked !== undefined) asked.final = frameOf(bytes)
        },
        later: (token, _attempt, bytes) => this.#asked.get(token)?.laters.push(frameOf(bytes)),
        moved: (token) => {
          const asked = this.#asked.get(token)
          if (asked !== undefined) asked.moved++
        },
        deliver: () => {},
        pointers: () => {},
        kick: () => {},
      })),
    )
  }

  /** One envelope with these clients' frames for rooms. */
  ask(host: Incarnation, user: UserId, ...frames: readonly Uint8Array[]): Asked[] {
    const writer = new Writer().str(this.gateway)
    const asked = frames.map((frame) => {
      const token = ++this.#token
      const stamp = { handle: token, user, device: 'vtest' as DeviceId }
      writeRoomCommand(writer, 'room', token, 0, stamp, frame)
      const its = new Asked()
      this.#asked.set(token, its)
      return its
    })
    this.#nats.publish(hostSubject(host), writer.take())
    return asked
  }

  /** Anything. */
  raw(host: Incarnation, bytes: Uint8Array): void {
    this.#nats.publish(hostSubject(host), bytes)
  }

  close(): void {
    this.#stop()
  }
}
