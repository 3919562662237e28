/**
 * The layout of the embedded database. A key is one byte of table, then fields of fixed width with numbers
 * big-endian, so that the byte order of keys is the order of rows; only the last field may vary in length.
 *
 *     meta       [0] name                      → text
 *     history    [1] room 32 · seq 8 · count 1 → event frames (chunks.ts)
 *     floor      [2] stream 4                  → position 8
 *     room       [3] room 32                   → position 8 · snapshot
 *     user       [4] user 32 · key             → position 8 · value
 *     partition  [5] name                      → position 8 · value
 *     kept       [6] room 32                   → lowest seq that history keeps 8
 *
 * Ids hold no zero byte, so padding them with zeros to 32 keeps them apart.
 */
import { parseRoomId, type RoomId, type UserId } from '../../ids.ts'

const TABLES = { meta: 0, history: 1, floor: 2, room: 3, user: 4, partition: 5, kept: 6 } as const
const ID = 32
const U32 = 2 ** 32

/** Bytes of the position in front of the value of `floor`, `room`, `user`, `partition` and `kept`. */
export const STAMP = 8

const writeU64 = (bytes: Buffer, value: number, at: number): void => {
  bytes.writeUInt32BE(Math.floor(value / U32), at)
  bytes.writeUInt32BE(value % U32, at + 4)
}

const readU64 = (bytes: Uint8Array, at: number): number => {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8)
  return view.getUint32(0) * U32 + view.getUint32(4)
}

const table = (name: keyof typeof TABLES, id: string, rest: number): Buffer => {
  const key = Buffer.alloc(1 + ID + rest)
  key[0] = TABLES[name]
  key.write(id, 1, 'latin1')
  return key
}

const named = (name: keyof typeof TABLES, text: string): Buffer => {
  const key = Buffer.allocUnsafe(1 + Buffer.byteLength(text))
  key[0] = TABLES[name]
  key.write(text, 1)
  return key
}

export const metaKey = (name: string): Buffer => named('meta', name)

/** `last` is the seq of the last of `count` events. */
export const historyKey = (room: RoomId, last: number, count: number): Buffer => {
  const key = table('history', room, 9)
  writeU64(key, last, 1 + ID)
  key[1 + ID + 8] = count
  return key
}
export const lastOf = (historyKey: Uint8Array): number => readU64(historyKey, 1 + ID)
export const countOf = (historyKey: Uint8Array): number => historyKey[1 + ID + 8] ?? 0

/** The room of a key of `history`; undefined for what is no such key. */
export const historyRoomOf = (historyKey: Uint8Array): RoomId | undefined => {
  const id = Buffer.from(historyKey.buffer, historyKey.byteOffset + 1, ID).toString('latin1')
  return parseRoomId(id.replace(/\0+$/, ''))
}
/** All rows of the history lie in [from, to). */
export const HISTORY_RANGE = {
  from: Buffer.of(TABLES.history),
  to: Buffer.of(TABLES.history + 1),
} as const
/** Above every row of the room, below those of the next. */
export const historyEnd = (room: RoomId): Buffer => {
  const key = table('history', room, 9)
  key.fill(0xff, 1 + ID)
  return key
}

export const keptKey = (room: RoomId): Buffer => table('kept', room, 0)
/** All rows of `kept` lie in [from, to). */
export const KEPT_RANGE = { from: Buffer.of(TABLES.kept), to: Buffer.of(TABLES.kept + 1) } as const

/** The least key above `key`. */
export const keyAfter = (key: Uint8Array): Buffer => Buffer.concat([key], key.byteLength + 1)

export const floorKey = (stream: number): Buffer => {
  const key = Buffer.allocUnsafe(5)
  key[0] = TABLES.floor
  key.writeUInt32BE(stream, 1)
  return key
}

export const roomKey = (room: RoomId): Buffer => table('room', room, 0)

export const userKey = (user: UserId, name: string): Buffer => {
  const bytes = Buffer.byteLength(name)
  const key = table('user', user, bytes)
  key.write(name, 1 + ID)
  return key
}
/** All rows of a user lie in [from, to). */
export const userRange = (user: UserId): { from: Buffer; to: Buffer } => {
  const to = table('user', user, 1)
  to[1 + ID] = 0xff // never occurs in UTF-8
  return { from: table('user', user, 0), to }
}
export const nameOf = (userKey: Uint8Array): string =>
  Buffer.from(userKey.buffer, userKey.byteOffset, userKey.byteLength).toString('utf8', 1 + ID)

export const partitionKey = (name: string): Buffer => named('partition', name)

export const stamped = (position: number, value: Uint8Array): Buffer => {
  const bytes = Buffer.allocUnsafe(STAMP + value.byteLength)
  writeU64(bytes, position, 0)
  bytes.set(value, STAMP)
  return bytes
}
export const stampOf = (bytes: Uint8Array): number => readU64(bytes, 0)
export const bodyOf = (bytes: Uint8Array): Uint8Array => bytes.subarray(STAMP)
