/**
 * One client connection: TCP, WebSocket, hello. Owns the socket and its heartbeat; what the frames mean is its
 * listener's business.
 */
import { connect, type Socket } from 'node:net'
import { encodeFrame } from '../../lib/protocol/codec.ts'
import {
  type AnyFrame,
  type Cursor,
  type Frame,
  type FrameName,
  VERSION,
} from '../../lib/protocol/frames.ts'
import { Inbound, type SeenEvent, type Sink } from './inbound.ts'
import { Outgoing } from './outgoing.ts'
import { MOST_HEADER, newKey, OPCODE, refusalOf, upgradeRequest, writeHeader } from './websocket.ts'

export type Address = { readonly host: string; readonly port: number }

export type Hello = {
  readonly token: string
  readonly cursor: Cursor | null
  readonly lineage: number | null
}

export type Listener = {
  /** Before anything else. */
  opened(welcome: Frame<'welcome'>): void
  ack(req: number, seq: number, high: number, low: number): void
  event(event: SeenEvent): void
  /** Any other frame after the welcome; pongs too. */
  other(frame: AnyFrame): void
  /** Once, after a welcome; not after `end`. */
  closed(why: string): void
}

const READ_BYTES = 256 * 1024
/** Lent to whichever socket reads: its bytes are done with before the next one does. */
const reading = Buffer.allocUnsafeSlow(READ_BYTES)

/** Of all connections of the process. Flush it at the end of a turn that wrote outside of a listener. */
export const outgoing = new Outgoing()

const CONTROL_REQ = 1

type State = 'connecting' | 'upgrading' | 'greeting' | 'open' | 'closed'

export class Connection implements Sink {
  readonly #socket: Socket
  readonly #key = newKey()
  readonly #listener: Listener
  readonly #hello: Hello
  readonly #address: Address
  readonly #inbound = new Inbound(this)
  readonly #welcome = Promise.withResolvers<void>()
  readonly #deadline: NodeJS.Timeout
  #state: State = 'connecting'
  #head = ''
  #why = ''
  #beat: NodeJS.Timeout | undefined

  /** `source`: the local address to connect from. */
  constructor(
    address: Address,
    hello: Hello,
    listener: Listener,
    options: { source?: string | undefined; withinMs?: number } = {},
  ) {
    const { source, withinMs = 30_000 } = options
    this.#address = address
    this.#hello = hello
    this.#listener = listener
    this.#socket = connect({
      host: address.host,
      port: address.port,
      ...(source === undefined ? {} : { localAddress: source }),
      noDelay: true,
      onread: { buffer: reading, callback: (size) => this.#read(reading.subarray(0, size)) },
    })
    this.#socket.on('connect', () => this.#upgrade())
    this.#socket.on('error', (error) => {
      this.#why ||= error.message
    })
    this.#socket.on('end', () => this.#socket.destroy())
    this.#socket.on('close', () => this.#closed())
    this.#deadline = setTimeout(() => this.fail(`no welcome within ${withinMs} ms`), withinMs)
  }

  /** After `opened`; rejects when the connection ends before. */
  get welcome(): Promise<void> {
    return this.#welcome.promise
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Room for a frame of up to `size` bytes with its header: write from `outgoing.at` on, then advance. */
  lend(size: number): Uint8Array {
    return outgoing.lend(this.#socket, size)
  }

  /** One frame in a message of its own, sent at the end of the turn. */
  send<N extends FrameName>(name: N, frame: Frame<N>): void {
    this.#message(OPCODE.binary, encodeFrame(name, frame))
  }

  #message(opcode: number, payload: Uint8Array): void {
    const into = this.lend(payload.length + MOST_HEADER)
    const start = writeHeader(into, outgoing.at, payload.length, opcode)
    into.set(payload, start)
    outgoing.advance(start + payload.length)
  }

  /** Closes without telling the listener. */
  end(): void {
    this.#why ||= 'ended here'
    if (this.#state === 'open') this.#state = 'closed'
    this.#socket.destroy()
  }

  /** Closes as if the other side had. */
  fail(why: string): void {
    this.#why ||= why
    this.#socket.destroy()
  }

  #upgrade(): void {
    this.#state = 'upgrading'
    this.#socket.write(upgradeRequest(this.#address.host, this.#address.port, this.#key))
  }

  #read(bytes: Buffer): boolean {
    if (this.#socket.destroyed) return false
    try {
      if (this.#state === 'upgrading') this.#readHead(bytes)
      else this.#inbound.feed(bytes)
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error))
    }
    outgoing.flush()
    return true
  }

  #readHead(bytes: Buffer): void {
    const known = this.#head.length
    this.#head += bytes.toString('latin1')
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    const refusal = refusalOf(this.#head.slice(0, end), this.#key)
    if (refusal !== undefined) {
      this.fail(refusal)
      return
    }
    this.#head = ''
    this.#state = 'greeting'
    this.send('hello', { req: CONTROL_REQ, version: VERSION, ...this.#hello })
    if (end + 4 - known < bytes.length) this.#inbound.feed(bytes.subarray(end + 4 - known))
  }

  #closed(): void {
    clearTimeout(this.#deadline)
    clearInterval(this.#beat)
    const why = this.#why || 'the server closed the connection'
    const told = this.#state === 'open'
    this.#state = 'closed'
    this.#welcome.promise.catch(() => {})
    this.#welcome.reject(new Error(why))
    if (told) this.#listener.closed(why)
  }

  ack(req: number, seq: number, high: number, low: number): void {
    this.#listener.ack(req, seq, high, low)
  }

  event(event: SeenEvent): void {
    this.#listener.event(event)
  }

  other(frame: AnyFrame): void {
    if (frame.name === 'ack' || frame.name === 'event') {
      throw new Error(`this server appends fields to ${frame.name}: extend the generator`)
    }
    if (frame.name === 'error' && (frame.req === 0 || this.#state !== 'open')) {
      this.#why ||= `error ${frame.code}: ${frame.detail}`
    }
    if (this.#state === 'open') this.#listener.other(frame)
    else if (frame.name === 'welcome') this.#open(frame)
  }

  #open(welcome: Frame<'welcome'>): void {
    clearTimeout(this.#deadline)
    this.#state = 'open'
    const everyMs = Math.max(1000, welcome.heartbeat / 2)
    this.#beat = setInterval(() => this.ping(), everyMs)
    this.#listener.opened(welcome)
    this.#welcome.resolve()
  }

  ping(): void {
    this.send('ping', { req: CONTROL_REQ })
    outgoing.flush()
  }

  control(opcode: number, payload: Uint8Array): void {
    if (opcode === OPCODE.ping) this.#message(OPCODE.pong, payload)
    if (opcode !== OPCODE.close) return
    const code = payload.length >= 2 ? (payload[0]! << 8) | payload[1]! : 1005
    this.fail(`closed by the server with ${code}`)
  }
}
