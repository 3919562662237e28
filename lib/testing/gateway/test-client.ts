/** A client for tests: Node's own WebSocket, frames in and out. */
import { encodeFrame, readFrames } from '../../protocol/codec.ts'
import type { AnyFrame, Frame, FrameName } from '../../protocol/frames.ts'
import { eventually } from '../eventually.ts'

export class TestClient {
  readonly frames: AnyFrame[] = []
  readonly #socket: WebSocket
  closed: { code: number; reason: string } | undefined
  messages = 0
  #req = 0

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    socket.onmessage = ({ data }) => {
      this.messages++
      for (const frame of readFrames(new Uint8Array(data as ArrayBuffer))) {
        if (frame.name !== undefined) this.frames.push(frame)
      }
    }
    socket.onclose = ({ code, reason }) => {
      this.closed = { code, reason }
    }
  }

  static async connect(url: string): Promise<TestClient> {
    const socket = new WebSocket(url)
    const client = new TestClient(socket)
    await eventually('the socket opens', () => socket.readyState === WebSocket.OPEN)
    return client
  }

  /** Connects and is welcomed. */
  static async login(
    url: string,
    token: string,
    lineage: number | null = null,
  ): Promise<TestClient> {
    const client = await TestClient.connect(url)
    client.hello(token, lineage)
    await client.frame('welcome')
    return client
  }

  get nextReq(): number {
    return ++this.#req
  }

  raw(bytes: Uint8Array | string): void {
    this.#socket.send(bytes as never)
  }

  send<N extends FrameName>(name: N, frame: Frame<N>): void {
    this.raw(encodeFrame(name, frame))
  }

  hello(token: string, lineage: number | null = null): void {
    this.send('hello', { req: this.nextReq, version: 1, token, cursor: null, lineage })
  }

  /** Sends a text as command `n`; its request number is `n` too. */
  text(room: string, n: number, text = `text ${n}`): void {
    this.raw(sendFrame(room, n, text))
  }

  of<N extends FrameName>(name: N): Extract<AnyFrame, { name: N }>[] {
    return this.frames.filter((frame) => frame.name === name) as never
  }

  /** The frame of this name with this request number, or the first one. */
  frame<N extends FrameName>(name: N, req?: number): Promise<Extract<AnyFrame, { name: N }>> {
    return eventually(`a ${name} frame${req === undefined ? '' : ` for ${req}`}`, () =>
      this.of(name).find((frame) => req === undefined || ('req' in frame && frame.req === req)),
    ) as never
  }

  end(): Promise<{ code: number; reason: string }> {
    return eventually('the server closes the connection', () => this.closed)
  }

  close(): void {
    this.#socket.close()
  }
}

export const sendFrame = (room: string, n: number, text: string): Uint8Array =>
  encodeFrame('send', {
    req: n,
    room: room as never,
    lineage: 77,
    join: 0,
    n,
    low: 1,
    text,
    peer: null,
  })
