/** A socket and a bus that remember, for tests of single parts of a gateway. */
import type { Bus } from '../../bus/bus.ts'
import type { Socket } from '../../gateway/session.ts'
import { readToHost, type ToHost } from '../../protocol/envelopes.ts'

/** Writes at once, until `keeping` is set: then it keeps bytes back, as a client that does not read makes it. */
export class FakeSocket implements Socket {
  /** WebSocket messages, copied. */
  readonly sent: Uint8Array[] = []
  ended: number | undefined
  keeping = false
  dropping = false
  buffered = 0

  send(bytes: Uint8Array): number {
    if (this.dropping) return 2
    this.sent.push(bytes.slice())
    if (this.keeping) this.buffered += bytes.length
    return this.keeping ? 0 : 1
  }

  end(code: number): void {
    this.ended = code
  }

  getBufferedAmount(): number {
    return this.buffered
  }

  /** The client reads again. */
  drain(): void {
    this.keeping = false
    this.buffered = 0
  }
}

/** Takes envelopes to hosts. */
export class FakeBus implements Pick<Bus, 'publish' | 'connected'> {
  connected = true
  readonly envelopes: { readonly subject: string; readonly items: ToHost[] }[] = []

  publish(subject: string, data: Uint8Array): void {
    const items: ToHost[] = []
    readToHost(data, (_gateway, item) => items.push(item))
    this.envelopes.push({ subject, items })
  }

  /** All items since the last call, in order, with their subjects. */
  take(): (ToHost & { readonly subject: string })[] {
    const taken = this.envelopes.splice(0)
    return taken.flatMap(({ subject, items }) => items.map((item) => ({ ...item, subject })))
  }
}
