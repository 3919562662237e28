/** A WebSocket client that may break every rule: raw bytes over a socket, server frames parsed plainly. */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { encodeFrame, readFrames } from '../../protocol/codec.ts'
import type { AnyFrame } from '../../protocol/frames.ts'
import { eventually } from '../eventually.ts'

export const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

type FrameOptions = { opcode?: number; fin?: boolean; rsv?: number; masked?: boolean }

/** One WebSocket frame of a client. */
export const wsFrame = (payload: Uint8Array, options: FrameOptions = {}): Buffer => {
  const { opcode = OPCODES.binary, fin = true, rsv = 0, masked = true } = options
  const { length } = payload
  const extended = length < 126 ? 0 : length < 65536 ? 2 : 8
  const head = Buffer.alloc(2 + extended)
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  head[1] = (masked ? 0x80 : 0) | (extended === 0 ? length : extended === 2 ? 126 : 127)
  if (extended === 2) head.writeUInt16BE(length, 2)
  if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2)
  if (!masked) return Buffer.concat([head, payload])
  const key = randomBytes(4)
  return Buffer.concat([head, key, payload.map((byte, i) => byte ^ key[i & 3]!)])
}

export const handshake = (headers: readonly string[] = [], over: object = {}): string => {
  const usual: Record<string, string> = {
    Host: 'localhost',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    'Sec-WebSocket-Version': '13',
    ...over,
  }
  const lines = Object.entries(usual).filter(([, value]) => value !== undefined)
  return `GET / HTTP/1.1\r\n${lines.map(([k, v]) => `${k}: ${v}\r\n`).join('')}${headers.map((h) => `${h}\r\n`).join('')}\r\n`
}

export class RawClient {
  readonly socket: Socket
  #bytes = Buffer.alloc(0)
  closed = false
  #reading = true

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes as Buffer])
    })
    // A server that cuts a connection off shows as a reset; what matters is that it is closed.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
    })
  }

  static async open(port: number, tls = false): Promise<RawClient> {
    const client = new RawClient(
      tls
        ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
        : connect(port, '127.0.0.1'),
    )
    await eventually('connected', () => client.socket.readyState === 'open')
    return client
  }

  /** With a handshake done. */
  static async upgraded(port: number, tls = false): Promise<RawClient> {
    const client = await RawClient.open(port, tls)
    client.write(handshake())
    await eventually('101', () => client.status === 101)
    return client
  }

  /** Welcomed. */
  static async welcomed(port: number, token: string, tls = false): Promise<RawClient> {
    const client = await RawClient.upgraded(port, tls)
    client.write(wsFrame(helloFrame(token)))
    await eventually('welcome', () => client.frames.some(({ name }) => name === 'welcome'))
    return client
  }

  write(bytes: Uint8Array | string): void {
    if (!this.closed) this.socket.write(bytes)
  }

  /** HTTP status of the answer, once it is there. */
  get status(): number | undefined {
    const match = /^HTTP\/1\.1 (\d+)/.exec(this.#bytes.subarray(0, 64).toString('latin1'))
    return match === null || this.#bytes.indexOf('\r\n\r\n') < 0 ? undefined : Number(match[1])
  }

  get #messages(): { opcode: number; payload: Buffer }[] {
    const messages = []
    let rest = this.#bytes.subarray(this.#bytes.indexOf('\r\n\r\n') + 4)
    while (rest.length >= 2) {
      const short = rest[1]! & 127
      const head = short < 126 ? 2 : short === 126 ? 4 : 10
      if (rest.length < head) break
      const length =
        short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2))
      if (rest.length < head + length) break
      messages.push({ opcode: rest[0]! & 15, payload: rest.subarray(head, head + length) })
      rest = rest.subarray(head + length)
    }
    return messages
  }

  /** Frames of Parley that came. */
  get frames(): AnyFrame[] {
    return this.#messages
      .filter(({ opcode }) => opcode === OPCODES.binary)
      .flatMap(({ payload }) => readFrames(payload))
      .filter((frame): frame is AnyFrame => frame.name !== undefined)
  }

  /** Pongs of the WebSocket kind. */
  get pongs(): number {
    return this.#messages.filter(({ opcode }) => opcode === OPCODES.pong).length
  }

  /** The code that the server closed with; undefined when it cut the connection off or has not closed. */
  get closeCode(): number | undefined {
    const close = this.#messages.find(({ opcode }) => opcode === OPCODES.close)
    return close === undefined || close.payload.length < 2
      ? undefined
      : close.payload.readUInt16BE(0)
  }

  get received(): number {
    return this.#bytes.length
  }

  /** Stops or starts reading, so that the server meets a full window. */
  read(reading: boolean): void {
    if (reading === this.#reading) return
    this.#reading = reading
    if (reading) this.socket.resume()
    else this.socket.pause()
  }

  destroy(): void {
    this.socket.destroy()
  }
}

export const helloFrame = (token: string, req = 1): Uint8Array =>
  encodeFrame('hello', { req, version: 1, token, cursor: null, lineage: null })
