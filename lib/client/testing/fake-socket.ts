/** Sockets that a test opens, feeds and closes by hand. */
import { encodeFrame, readFrames } from '../../protocol/codec.ts'
import type { ClientFrame, Frame, FrameName } from '../../protocol/frames.ts'
import type { Dial, SocketEvents } from '../socket.ts'

export class FakeSocket {
  readonly url: string
  readonly events: SocketEvents
  readonly sent: ClientFrame[] = []
  closedWith: number | undefined

  constructor(url: string, events: SocketEvents) {
    this.url = url
    this.events = events
  }

  open(): void {
    this.events.opened()
  }

  /** The newest frame of this name. */
  last<N extends ClientFrame['name']>(name: N): Extract<ClientFrame, { name: N }> {
    const frame = this.sent.findLast((one) => one.name === name)
    if (frame === undefined) throw new Error(`no ${name} was sent`)
    return frame as Extract<ClientFrame, { name: N }>
  }

  give<N extends FrameName>(name: N, frame: Frame<N>): void {
    this.events.message(encodeFrame(name, frame))
  }

  welcome(more: Partial<Frame<'welcome'>> = {}): void {
    this.give('welcome', {
      ...{ req: this.last('hello').req, user: 'uann' as Frame<'welcome'>['user'], device: 'vone' },
      ...{ time: 1, heartbeat: 30_000, lineage: 7, resume: 'resume', textLimit: 8192 },
      ...{ cursor: { stream: 's', position: 1 }, full: true, more: false, changes: [], ...more },
    })
  }
}

export const fakeDial = (): { sockets: FakeSocket[]; dial: Dial } => {
  const sockets: FakeSocket[] = []
  return {
    sockets,
    dial: (url, events) => {
      const socket = new FakeSocket(url, events)
      sockets.push(socket)
      return {
        send: (bytes) => socket.sent.push(...(readFrames(bytes.slice()) as ClientFrame[])),
        close: (code) => {
          socket.closedWith = code
        },
      }
    },
  }
}
