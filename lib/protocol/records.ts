/**
 * What a log batch holds. A batch is one JetStream message on `log.<p>`: a header, then records to the end.
 * Bytes are written once, when the batch is frozen, and never again (contracts L1); the header chains it to what its
 * writer knew (contracts L2).
 */
import type { RoomId, UserId } from '../ids.ts'
import { type EventFields, readEvent, writeEvent } from './hot.ts'
import { BadFrame, Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** Of the records, not of the frames inside; a reader refuses what it does not know. */
export const LOG_VERSION = 1

/** An event with what makes its command recognisable (contracts N2). */
export type EventRecord = EventFields & {
  readonly kind: 'event'
  readonly lineage: number
  readonly n: number
  readonly low: number
  readonly hash: number
}
/** A member's command that was refused for good, so that no late copy of it can be accepted (contracts N2). */
export type SpentRecord = {
  readonly kind: 'spent'
  readonly room: RoomId
  readonly user: UserId
  readonly lineage: number
  readonly n: number
  readonly low: number
  readonly hash: number
  /** Number of the error. */
  readonly code: number
}
/** A member's read position; the last one wins. */
export type ReadRecord = {
  readonly kind: 'read'
  readonly room: RoomId
  readonly user: UserId
  readonly seq: number
  readonly ord: number
}
export type RoomRecord = EventRecord | SpentRecord | ReadRecord
export type OwnerRecord =
  | {
      readonly kind: 'epoch'
      readonly nonce: string
      readonly incarnation: string
      readonly host: string
    }
  | { readonly kind: 'tick' }
  | { readonly kind: 'handover'; readonly successor: string }
export type LogRecord = RoomRecord | OwnerRecord

/** `prev` is the subject sequence that the writer expected, `view` its placement view; an epoch record has epoch 0. */
export type BatchHeader = {
  readonly epoch: number
  readonly number: number
  readonly prev: number
  readonly view: number
}
export type Batch = BatchHeader & { readonly records: readonly LogRecord[] }

const KIND = { event: 1, spent: 2, read: 3, epoch: 10, tick: 11, handover: 12 } as const
const KINDS = new Set<number>(Object.values(KIND))

export const writeBatchHeader = (writer: Writer, header: BatchHeader): Writer =>
  writer
    .uint(LOG_VERSION)
    .uint(header.epoch)
    .uint(header.number)
    .uint(header.prev)
    .uint(header.view)

const scratch = new Writer(16384)

/** Appends one record; returns the bytes of the event frame in it (a copy to deliver), or undefined. */
export const writeRecord = (writer: Writer, record: LogRecord): Uint8Array | undefined => {
  switch (record.kind) {
    case 'event': {
      const frame = writeEvent(scratch.reset(), record).take()
      writer.array(6).uint(KIND.event).bin(frame)
      writer.uint(record.lineage).uint(record.n).uint(record.low).uint(record.hash)
      return frame
    }
    case 'spent':
      writer.array(8).uint(KIND.spent).str(record.room).str(record.user).uint(record.lineage)
      writer.uint(record.n).uint(record.low).uint(record.hash).uint(record.code)
      return undefined
    case 'read':
      writer.array(5).uint(KIND.read).str(record.room).str(record.user)
      writer.uint(record.seq).uint(record.ord)
      return undefined
    case 'epoch':
      writer.array(4).uint(KIND.epoch).str(record.nonce).str(record.incarnation).str(record.host)
      return undefined
    case 'tick':
      writer.array(1).uint(KIND.tick)
      return undefined
    case 'handover':
      writer.array(2).uint(KIND.handover).str(record.successor)
      return undefined
  }
}

const readRecord = (reader: Reader, withFrame?: FrameSink): LogRecord => {
  const length = reader.array()
  const kind = reader.uint()
  switch (kind) {
    case KIND.event: {
      const frame = reader.bin()
      const lineage = reader.uint()
      const n = reader.uint()
      const low = reader.uint()
      const hash = reader.uint()
      reader.skipRest(length, 6)
      const event = readEvent(new Reader(frame))
      withFrame?.(event.room, event.seq, frame)
      return {
        kind: 'event',
        room: event.room,
        seq: event.seq,
        ord: event.ord,
        id: event.id,
        time: event.time,
        sender: event.sender,
        type: event.type,
        body: event.body,
        lineage,
        n,
        low,
        hash,
      }
    }
    case KIND.spent: {
      const room = reader.str(32) as RoomId
      const user = reader.str(32) as UserId
      const lineage = reader.uint()
      const n = reader.uint()
      const low = reader.uint()
      const hash = reader.uint()
      const code = reader.uint()
      reader.skipRest(length, 8)
      return { kind: 'spent', room, user, lineage, n, low, hash, code }
    }
    case KIND.read: {
      const room = reader.str(32) as RoomId
      const user = reader.str(32) as UserId
      const seq = reader.uint()
      const ord = reader.uint()
      reader.skipRest(length, 5)
      return { kind: 'read', room, user, seq, ord }
    }
    case KIND.epoch: {
      const nonce = reader.str(64)
      const incarnation = reader.str(64)
      const host = reader.str(256)
      reader.skipRest(length, 4)
      return { kind: 'epoch', nonce, incarnation, host }
    }
    case KIND.tick:
      reader.skipRest(length, 1)
      return { kind: 'tick' }
    case KIND.handover: {
      const successor = reader.str(64)
      reader.skipRest(length, 2)
      return { kind: 'handover', successor }
    }
    default:
      throw new BadFrame(`log record of kind ${kind}: written by a newer version`)
  }
}

/** The event frames of a batch (views), without making the records. @throws BadFrame as `decodeBatch` */
export const eachEvent = (bytes: Uint8Array, sink: FrameSink): void => {
  const reader = new Reader(bytes)
  readHeader(reader)
  while (!reader.done) {
    const length = reader.array()
    const kind = reader.uint()
    if (kind === KIND.event) {
      const frame = reader.bin()
      const event = new Reader(frame)
      event.array()
      event.uint()
      sink(event.str(32) as RoomId, event.uint(), frame)
      reader.skipRest(length, 2)
    } else if (KINDS.has(kind)) reader.skipRest(length, 1)
    else throw new BadFrame(`log record of kind ${kind}: written by a newer version`)
  }
}

/** Told of each event's frame (a view) while a batch is read. */
export type FrameSink = (room: RoomId, seq: number, frame: Uint8Array) => void

const readHeader = (reader: Reader): BatchHeader => {
  const version = reader.uint()
  if (version !== LOG_VERSION) throw new BadFrame(`log batch of version ${version}`)
  const epoch = reader.uint()
  const number = reader.uint()
  const prev = reader.uint()
  const view = reader.uint()
  return { epoch, number, prev, view }
}

export const decodeHeader = (bytes: Uint8Array): BatchHeader => readHeader(new Reader(bytes))

/** @throws BadFrame when the bytes are not a batch of this version. */
export const decodeBatch = (bytes: Uint8Array, withFrame?: FrameSink): Batch => {
  const reader = new Reader(bytes)
  const header = readHeader(reader)
  const records: LogRecord[] = []
  while (!reader.done) records.push(readRecord(reader, withFrame))
  return { ...header, records }
}

export const encodeBatch = (batch: Batch): Uint8Array => {
  const writer = writeBatchHeader(new Writer(), batch)
  for (const record of batch.records) writeRecord(writer, record)
  return writer.take()
}
