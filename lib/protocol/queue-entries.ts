/**
 * What a message on `queue.<k>.<uid>.<device>` holds: a version, the epoch of the owner that wrote it, then entries to
 * the end (contracts I5).
 */
import type { RoomId } from '../ids.ts'
import { BadFrame, Reader } from './reader.ts'
import type { Writer } from './writer.ts'

export const QUEUE_VERSION = 1

export type QueueEntry =
  | {
      readonly kind: 'pointer'
      /** Dense per device. */
      readonly n: number
      /** Inbox position up to which the device is told everything with this entry. */
      readonly stamp: number
      /** Events of the room up to this one were told of before, as far as the writer knew. */
      readonly after: number
      /** POINTER bytes. */
      readonly pointer: Uint8Array
    }
  /** Entries before it were purged. */
  | { readonly kind: 'reset'; readonly n: number; readonly stamp: number }

const KIND = { pointer: 1, reset: 2 } as const

export const writeQueueHead = (writer: Writer, epoch: number): Writer =>
  writer.uint(QUEUE_VERSION).uint(epoch)

export const writeQueueEntry = (writer: Writer, entry: QueueEntry): Writer => {
  const { kind, n, stamp } = entry
  if (kind === 'reset') return writer.array(3).uint(KIND.reset).uint(n).uint(stamp)
  return writer.array(5).uint(KIND.pointer).uint(n).uint(stamp).uint(entry.after).bin(entry.pointer)
}

/** Entries are copies. @throws BadFrame */
export const readQueueMessage = (bytes: Uint8Array): { epoch: number; entries: QueueEntry[] } => {
  const reader = new Reader(bytes)
  const version = reader.uint()
  if (version !== QUEUE_VERSION) throw new BadFrame(`queue message of version ${version}`)
  const epoch = reader.uint()
  const entries: QueueEntry[] = []
  while (!reader.done) entries.push(readEntry(reader))
  return { epoch, entries }
}

const readEntry = (reader: Reader): QueueEntry => {
  const length = reader.array()
  const kind = reader.uint()
  const n = reader.uint()
  const stamp = reader.uint()
  if (kind === KIND.reset) {
    reader.skipRest(length, 3)
    return { kind: 'reset', n, stamp }
  }
  if (kind !== KIND.pointer) throw new BadFrame(`queue entry of kind ${kind}`)
  const after = reader.uint()
  const pointer = reader.bin().slice()
  reader.skipRest(length, 5)
  return { kind: 'pointer', n, stamp, after, pointer }
}

/** Room, newest and first visible event of POINTER bytes. */
export const pointerHead = (pointer: Uint8Array): { room: RoomId; head: number; from: number } => {
  const reader = new Reader(pointer)
  reader.array()
  const room = reader.str(32) as RoomId
  reader.uint()
  const head = reader.uint()
  // ord, time, read, readOrd
  for (let i = 0; i < 4; i++) reader.uint()
  return { room, head, from: reader.uint() }
}
