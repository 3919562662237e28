/**
 * `send` frames encoded ahead: only the request number, n, low and the tag of the text change from one to the next.
 * Tested against lib/protocol/codec.ts.
 */
import type { RoomId, UserId } from '../../lib/ids.ts'
import { FRAMES } from '../../lib/protocol/frames.ts'
import { Writer } from '../../lib/protocol/writer.ts'
import { textOf, writeTag } from './tag.ts'
import { MOST_HEADER, writeHeader } from './websocket.ts'

/** Request numbers start here, so that they always take the same five bytes. */
export const FIRST_REQ = 0x10000

export type SendFields = {
  readonly room: RoomId
  readonly lineage: number
  readonly join: number
  /** Bytes of the text, its tag included. */
  readonly textBytes: number
  /** Named by command 1 alone. */
  readonly peer: UserId | null
  /** Which lane the tag names. */
  readonly lane: number
}

const sizeOf = (value: number): number =>
  value < 0x80 ? 1 : value <= 0xff ? 2 : value <= 0xffff ? 3 : 5

/** The smallest form of an integer below 2^32 (contracts W2). */
const writeUint = (into: Uint8Array, at: number, value: number): number => {
  if (value < 0x80) {
    into[at] = value
    return at + 1
  }
  if (value <= 0xff) {
    into[at] = 0xcc
    into[at + 1] = value
    return at + 2
  }
  if (value <= 0xffff) {
    into[at] = 0xcd
    into[at + 1] = value >>> 8
    into[at + 2] = value & 0xff
    return at + 3
  }
  into[at] = 0xce
  into[at + 1] = value >>> 24
  into[at + 2] = (value >>> 16) & 0xff
  into[at + 3] = (value >>> 8) & 0xff
  into[at + 4] = value & 0xff
  return at + 5
}

export class SendFrame {
  readonly #lane: number
  /** Array and type, five bytes of request number, then room, lineage and join. */
  readonly #head: Uint8Array
  readonly #first: Uint8Array
  readonly #tail: Uint8Array
  readonly #tagAt: number

  constructor(fields: SendFields) {
    const writer = new Writer(512)
    writer.array(Object.keys(FRAMES.send.fields).length + 1).uint(FRAMES.send.type)
    writer.uint(FIRST_REQ).str(fields.room).uint(fields.lineage).uint(fields.join)
    this.#lane = fields.lane
    this.#head = writer.take()
    const text = textOf(fields.textBytes)
    this.#tail = writer.str(text).nil().take()
    this.#tagAt = this.#tail.length - 1 - fields.textBytes
    this.#first = fields.peer === null ? this.#tail : writer.str(text).str(fields.peer).take()
  }

  /** The most bytes that one message takes, whatever the numbers. */
  get most(): number {
    return this.#head.length + this.#first.length + 10 + MOST_HEADER
  }

  /**
   * Writes one WebSocket message; answers where the next goes. `req` is at least FIRST_REQ. The same n, low and due
   * give the same command again, whatever `req` (contracts N2).
   */
  write(into: Uint8Array, at: number, req: number, n: number, low: number, dueUs: number): number {
    const head = this.#head
    const tail = n === 1 ? this.#first : this.#tail
    const length = head.length + sizeOf(n) + sizeOf(low) + tail.length
    const start = writeHeader(into, at, length)
    into.set(head, start)
    writeUint(into, start + 2, req)
    let next = writeUint(into, start + head.length, n)
    next = writeUint(into, next, low)
    into.set(tail, next)
    writeTag(into, next + this.#tagAt, this.#lane, n, dueUs)
    return next + tail.length
  }
}
