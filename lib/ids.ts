/**
 * Ids are `[A-Za-z0-9_-]{1,32}`, parsed once where they enter the process and branded from then on.
 * Nothing else ever reaches a NATS subject, queue name or stream name.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { nanoid } from 'nanoid'

declare const brand: unique symbol
type Id<Name extends string> = string & { readonly [brand]: Name }

export type UserId = Id<'user'>
export type DeviceId = Id<'device'>
export type RoomId = Id<'room'>
/** A host's run: new at every process start, so that its subjects are never inherited. */
export type Incarnation = Id<'incarnation'>
/** A gateway's run: new at every process start, so that its session handles are never inherited. */
export type GatewayId = Id<'gateway'>
export type ActorId = UserId | RoomId

const SHAPE = /^[A-Za-z0-9_-]{1,32}$/

/** True when `text` may stand in a subject. */
export const isId = (text: unknown): text is string => typeof text === 'string' && SHAPE.test(text)

const parse =
  <T extends string>(prefix: string) =>
  (text: unknown): T | undefined =>
    isId(text) && text.startsWith(prefix) ? (text as T) : undefined

/** `u…`, or undefined when the text is not a user id. */
export const parseUserId = parse<UserId>('u')
/** `v…`, or undefined when the text is not a device id. */
export const parseDeviceId = parse<DeviceId>('v')
/** `d…` (dm) or `g…` (group), or undefined; other prefixes are refused (contracts N5). */
export const parseRoomId = (text: unknown): RoomId | undefined =>
  isId(text) && (text[0] === 'd' ? text.length === 23 : text[0] === 'g' && text.length > 8)
    ? (text as RoomId)
    : undefined

export const isDm = (room: RoomId): boolean => room[0] === 'd'

export const newUserId = (): UserId => `u${nanoid(15)}` as UserId
export const newDeviceId = (): DeviceId => `v${nanoid(21)}` as DeviceId
export const newGroupId = (): RoomId => `g${nanoid(21)}` as RoomId
export const newIncarnation = (): Incarnation => `h${nanoid(15)}` as Incarnation
export const newGatewayId = (): GatewayId => `w${nanoid(15)}` as GatewayId

const utf8 = new TextEncoder()

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** The room of two users: `d` + 22 base64url characters of SHA-256(a \0 b) of the sorted pair (contracts N5). */
export const dmId = (one: UserId, other: UserId): RoomId => {
  const [a, b] = one < other ? [one, other] : [other, one]
  const hash = sha256(utf8.encode(`${a}\0${b}`))
  let text = 'd'
  for (let bit = 0; bit < 132; bit += 6) {
    const byte = bit >> 3
    const pair = ((hash[byte] ?? 0) << 8) | (hash[byte + 1] ?? 0)
    text += BASE64URL[(pair >> (10 - (bit & 7))) & 63]
  }
  return text as RoomId
}

/** uint32be(SHA-256(id)) mod P (contracts N5). P is fixed when a cluster is made. */
export const partitionOf = (id: ActorId, partitions: number): number => {
  const hash = sha256(utf8.encode(id))
  return new DataView(hash.buffer, hash.byteOffset).getUint32(0) % partitions
}
