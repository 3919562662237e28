/**
 * What a server sends to one connection: WebSocket frames to protocol frames. Acks and events are read by their
 * headers, in place; everything else goes through the codec.
 */
import { readFrame } from '../../lib/protocol/codec.ts'
import { type AnyFrame, FRAMES } from '../../lib/protocol/frames.ts'
import { Reader } from '../../lib/protocol/reader.ts'
import { OPCODE } from './websocket.ts'

const ACK = FRAMES.ack.type
const EVENT = FRAMES.event.type

/** An event where it stands in `bytes`; the same object every time, valid during the call. */
export type SeenEvent = {
  bytes: Uint8Array
  /** The room id, ASCII. */
  roomAt: number
  roomEnd: number
  seq: number
  ord: number
  /** The halves of the message id. */
  high: number
  low: number
  time: number
  senderAt: number
  senderEnd: number
  kind: number
  /** The body, MessagePack. */
  bodyAt: number
  bodyEnd: number
}

export type Sink = {
  /** `high` and `low` are the halves of the message id. */
  ack(req: number, seq: number, high: number, low: number, time: number): void
  event(event: SeenEvent): void
  other(frame: AnyFrame): void
  /** A control frame of the server. */
  control(opcode: number, payload: Uint8Array): void
}

const seen: SeenEvent = {
  bytes: new Uint8Array(),
  roomAt: 0,
  roomEnd: 0,
  seq: 0,
  ord: 0,
  high: 0,
  low: 0,
  time: 0,
  senderAt: 0,
  senderEnd: 0,
  kind: 0,
  bodyAt: 0,
  bodyEnd: 0,
}

/** Longest message that a server may send here. */
const MOST = 16 * 1024 * 1024

export class Inbound {
  readonly #sink: Sink
  /** A frame that is not whole yet. */
  #rest: Uint8Array | undefined
  #bytes = seen.bytes
  #at = 0
  #end = 0

  constructor(sink: Sink) {
    this.#sink = sink
  }

  /** `bytes` may be overwritten afterwards. Throws an Error when the server breaks the protocol. */
  feed(fresh: Uint8Array): void {
    let bytes = fresh
    if (this.#rest !== undefined) {
      bytes = new Uint8Array(this.#rest.length + fresh.length)
      bytes.set(this.#rest)
      bytes.set(fresh, this.#rest.length)
      this.#rest = undefined
    }
    let at = 0
    while (at < bytes.length) {
      const next = this.#frame(bytes, at)
      if (next === 0) {
        this.#rest = bytes.slice(at)
        return
      }
      at = next
    }
  }

  /** Frames without a WebSocket around them, as pages hold them. */
  scan(frames: Uint8Array): void {
    this.#message(frames, 0, frames.length)
  }

  /** Answers where the next frame starts; 0 when this one is not whole. */
  #frame(bytes: Uint8Array, from: number): number {
    const left = bytes.length - from
    if (left < 2) return 0
    const first = bytes[from]!
    let length = bytes[from + 1]!
    let at = from + 2
    if (length >= 0x80) throw new Error('the server masks its frames')
    if (length === 126) {
      if (left < 4) return 0
      length = (bytes[at]! << 8) | bytes[at + 1]!
      at += 2
    } else if (length === 127) {
      if (left < 10) return 0
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      length = view.getUint32(at) * 0x100000000 + view.getUint32(at + 4)
      if (length > MOST) throw new Error(`the server sends a message of ${length} bytes`)
      at += 8
    }
    const end = at + length
    if (end > bytes.length) return 0
    const opcode = first & 15
    if (opcode >= 8) this.#sink.control(opcode, bytes.subarray(at, end))
    else if (first === (0x80 | OPCODE.binary)) this.#message(bytes, at, end)
    else throw new Error(`a frame of the server starts with ${first}`)
    return end
  }

  #message(bytes: Uint8Array, from: number, end: number): void {
    this.#bytes = bytes
    this.#at = from
    this.#end = end
    while (this.#at < end) {
      const head = bytes[this.#at]!
      const type = bytes[this.#at + 1]!
      // A longer array is of a newer server, which appends fields.
      if (head === 0x95 && type === ACK) this.#ack()
      else if (head === 0x99 && type === EVENT) this.#event()
      else this.#other()
      if (this.#at > end) throw new Error('a frame goes past its message')
    }
  }

  #ack(): void {
    this.#at += 2
    const req = this.#uint()
    const seq = this.#uint()
    const id = this.#skipId()
    const high = this.#word(id)
    const low = this.#word(id + 4)
    this.#sink.ack(req, seq, high, low, this.#uint())
  }

  #event(): void {
    seen.bytes = this.#bytes
    this.#at += 2
    seen.roomAt = this.#skipHeader()
    seen.roomEnd = this.#at
    seen.seq = this.#uint()
    seen.ord = this.#uint()
    const id = this.#skipId()
    seen.high = this.#word(id)
    seen.low = this.#word(id + 4)
    seen.time = this.#uint()
    seen.senderAt = this.#skipHeader()
    seen.senderEnd = this.#at
    seen.kind = this.#uint()
    seen.bodyAt = this.#at
    // [text], by far the most frequent body.
    if (this.#bytes[this.#at] === 0x91 && this.#isStr(this.#at + 1)) {
      this.#at++
      this.#skipHeader()
    } else {
      const reader = new Reader(this.#bytes.subarray(this.#at, this.#end))
      reader.skip()
      this.#at += reader.at
    }
    seen.bodyEnd = this.#at
    this.#sink.event(seen)
  }

  #other(): void {
    const reader = new Reader(this.#bytes.subarray(this.#at, this.#end))
    const frame = readFrame(reader)
    this.#at += reader.at
    if (frame.name === undefined) throw new Error(`the server sends a frame of type ${frame.type}`)
    this.#sink.other(frame)
  }

  #isStr(at: number): boolean {
    const byte = this.#bytes[at]!
    return (byte >= 0xa0 && byte <= 0xbf) || byte === 0xd9 || byte === 0xda
  }

  /** Past a string; answers where its text starts. */
  #skipHeader(): number {
    const bytes = this.#bytes
    const byte = bytes[this.#at]!
    let start = this.#at + 1
    let length: number
    if (byte >= 0xa0 && byte <= 0xbf) length = byte & 31
    else if (byte === 0xd9) length = bytes[start++]!
    else if (byte === 0xda) {
      length = (bytes[start]! << 8) | bytes[start + 1]!
      start += 2
    } else throw new Error(`no string starts with ${byte}`)
    this.#at = start + length
    if (this.#at > this.#end) throw new Error('a string goes past its message')
    return start
  }

  #skipId(): number {
    if (this.#bytes[this.#at] !== 0xcf) throw new Error('no message id')
    this.#at += 9
    return this.#at - 8
  }

  #word(at: number): number {
    const bytes = this.#bytes
    const high = (bytes[at]! << 24) | (bytes[at + 1]! << 16)
    return (high | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  }

  #uint(): number {
    const bytes = this.#bytes
    const at = this.#at
    const byte = bytes[at]!
    if (byte < 0x80) {
      this.#at = at + 1
      return byte
    }
    if (byte === 0xcc) {
      this.#at = at + 2
      return bytes[at + 1]!
    }
    if (byte === 0xcd) {
      this.#at = at + 3
      return (bytes[at + 1]! << 8) | bytes[at + 2]!
    }
    if (byte === 0xce) {
      this.#at = at + 5
      return this.#word(at + 1)
    }
    if (byte !== 0xcf) throw new Error(`no integer starts with ${byte}`)
    this.#at = at + 9
    return this.#word(at + 1) * 0x100000000 + this.#word(at + 5)
  }
}
