/** A client of bare frames: what it asks is what goes over the wire, and each answer is seen as it came. */
import { encodeFrame, readFrames } from '../../lib/protocol/codec.ts'
import type { AnyFrame, Frame, FrameName } from '../../lib/protocol/frames.ts'

export type Reply = Extract<
  AnyFrame,
  { name: 'welcome' | 'pong' | 'error' | 'ok' | 'ack' | 'page' | 'changes' | 'info' }
>
export type Closed = { readonly code: number; readonly reason: string }
/** The fields of a request without its number. */
export type Asked<N extends FrameName> = Omit<Frame<N>, 'req'>

const OPEN_MS = 15_000
const REPLY_MS = 45_000

export class Wire {
  /** What came unasked, in order. */
  readonly pushed: AnyFrame[] = []
  /** How the connection ended. */
  readonly closed: Promise<Closed>
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, PromiseWithResolvers<Reply>>()
  #listeners: ((frame: AnyFrame) => void)[] = []
  #req = 0
  isOpen = true

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    socket.onmessage = ({ data }) => {
      for (const frame of readFrames(new Uint8Array(data as ArrayBuffer))) {
        if (frame.name !== undefined) this.#take(frame)
      }
    }
    this.closed = new Promise((resolve) => {
      socket.onclose = ({ code, reason }) => {
        this.isOpen = false
        for (const { reject } of this.#waiting.values()) {
          reject(new Error(`closed with ${code} ${reason} before the answer`))
        }
        this.#waiting.clear()
        resolve({ code, reason })
      }
    })
  }

  static async open(url: string): Promise<Wire> {
    const socket = new WebSocket(url)
    const wire = new Wire(socket)
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${url} does not open`)), OPEN_MS)
      socket.onopen = () => {
        clearTimeout(timer)
        resolve()
      }
      socket.onerror = () => reject(new Error(`cannot open ${url}`))
    })
    socket.onerror = null
    return wire
  }

  #take(frame: AnyFrame): void {
    const waiting = 'req' in frame ? this.#waiting.get(frame.req) : undefined
    if (waiting !== undefined && 'req' in frame) {
      this.#waiting.delete(frame.req)
      waiting.resolve(frame as Reply)
      return
    }
    this.pushed.push(frame)
    for (const listener of this.#listeners) listener(frame)
  }

  /** Tells each frame that comes unasked from now on; the result ends that. */
  onPushed(listener: (frame: AnyFrame) => void): () => void {
    this.#listeners = [...this.#listeners, listener]
    return () => {
      this.#listeners = this.#listeners.filter((one) => one !== listener)
    }
  }

  /** @throws Error when the connection ends first, or nothing comes for 45 s */
  ask<N extends FrameName>(name: N, fields: Asked<N>): Promise<Reply> {
    if (!this.isOpen) return Promise.reject(new Error(`${name} on a closed connection`))
    const req = ++this.#req
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    const timer = setTimeout(() => reject(new Error(`no answer to ${name}`)), REPLY_MS)
    this.#waiting.set(req, { promise, resolve, reject })
    this.raw(encodeFrame(name, { req, ...fields } as Frame<N>))
    return promise.finally(() => clearTimeout(timer))
  }

  raw(bytes: Uint8Array<ArrayBuffer> | Uint8Array): void {
    this.#socket.send(bytes as Uint8Array<ArrayBuffer>)
  }

  async close(): Promise<void> {
    this.#socket.close(1000)
    await this.closed
  }
}
