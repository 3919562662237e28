/**
 * The frames of the message path, read and written by hand: the same bytes and the same refusals as codec.ts
 * (hot.test.ts), without an object per field and without making a string of the text (bench/micro/codec.ts).
 */
import { parseRoomId, parseUserId, type RoomId, type UserId } from '../ids.ts'
import { FRAMES, LIMITS } from './frames.ts'
import { hashBytes } from './hash.ts'
import { BadFrame, type Reader } from './reader.ts'
import type { Writer } from './writer.ts'

const SEND = FRAMES.send.type
const ACK = FRAMES.ack.type
const EVENT = FRAMES.event.type

/** A `send` frame whose text stays bytes. */
export type Send = {
  readonly name: 'send'
  readonly req: number
  readonly room: RoomId
  readonly lineage: number
  readonly join: number
  readonly n: number
  readonly low: number
  /** The text as it stands in the frame, MessagePack header included: a view. */
  readonly text: Uint8Array
  /** Bytes of the text itself. */
  readonly textBytes: number
  readonly peer: UserId | null
  /** Of the frame without its request number. */
  readonly hash: number
}

/** Length and type of the next frame; read its fields next. @throws BadFrame */
export const readHead = (reader: Reader): { length: number; type: number } => {
  const length = reader.array()
  if (length < 1) throw new BadFrame('empty frame')
  return { length, type: reader.uint(0xffff) }
}

export const isSend = (type: number): boolean => type === SEND

/**
 * The fields of a `send` frame after its head. `bytes` is what `reader` reads; without it, for who only checks the
 * frame, `hash` is 0. @throws BadFrame
 */
export const readSend = (reader: Reader, bytes: Uint8Array | undefined, length: number): Send => {
  if (length < 9) throw new BadFrame('a field is missing')
  const req = reader.uint(0xffffffff)
  const from = reader.at
  const room = parseRoomId(reader.str(32))
  if (room === undefined) throw new BadFrame('room id expected')
  const lineage = reader.uint()
  const join = reader.uint()
  const n = reader.uint()
  const low = reader.uint()
  const textAt = reader.at
  const textBytes = reader.skipStr(LIMITS.message)
  const text = reader.span(textAt, reader.at)
  let peer: UserId | null = null
  if (!reader.nil()) {
    peer = parseUserId(reader.str(32)) ?? null
    if (peer === null) throw new BadFrame('user id expected')
  }
  reader.skipRest(length, 9)
  const hash = bytes === undefined ? 0 : hashBytes(bytes, from, reader.at)
  return { name: 'send', req, room, lineage, join, n, low, text, textBytes, peer, hash }
}

export const writeAck = (
  writer: Writer,
  req: number,
  seq: number,
  id: bigint,
  time: number,
): Writer => writer.array(5).uint(ACK).uint(req).uint(seq).id64(id).uint(time)

/** What every event frame says, `body` being MessagePack already. */
export type EventFields = {
  readonly room: RoomId
  readonly seq: number
  readonly ord: number
  readonly id: bigint
  readonly time: number
  readonly sender: UserId
  /** Number of its kind (EVENT_KINDS). */
  readonly type: number
  readonly body: Uint8Array
}

export const writeEvent = (writer: Writer, event: EventFields): Writer =>
  writer
    .array(9)
    .uint(EVENT)
    .str(event.room)
    .uint(event.seq)
    .uint(event.ord)
    .id64(event.id)
    .uint(event.time)
    .str(event.sender)
    .uint(event.type)
    .raw(event.body)

/** An event frame that this server wrote itself. @throws BadFrame */
export const readEvent = (reader: Reader): EventFields => {
  const length = reader.array()
  if (reader.uint(0xffff) !== EVENT) throw new BadFrame('event expected')
  const room = reader.str(32) as RoomId
  const seq = reader.uint()
  const ord = reader.uint()
  const id = reader.id64()
  const time = reader.uint()
  const sender = reader.str(32) as UserId
  const type = reader.uint()
  const at = reader.at
  reader.skip()
  const body = reader.span(at, reader.at)
  reader.skipRest(length, 9)
  return { room, seq, ord, id, time, sender, type, body }
}
