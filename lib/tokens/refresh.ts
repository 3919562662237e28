/**
 * Refresh tokens: one chain per device, numbered 1, 2, 3 … The directory keeps only the newest number and its hash;
 * the MAC proves that an older one was ours, so its reuse is seen however late and the store stays bounded.
 */
import { createHash, randomBytes } from 'node:crypto'
import { type Refusal, refuse } from '../errors.ts'
import { type DeviceId, parseDeviceId } from '../ids.ts'
import { prefixed, textAt } from './resume.ts'
import type { Seal } from './seal.ts'

/** `n` is the place in the chain; `hash` is SHA-256 of the token. */
export type RefreshToken = {
  readonly token: string
  readonly device: DeviceId
  readonly n: number
  readonly hash: Uint8Array
}

const NONCE = 16
const FIXED = 4 + NONCE

const sha256 = (text: string): Uint8Array =>
  new Uint8Array(createHash('sha256').update(text).digest())

const write = (seal: Seal, device: DeviceId, n: number, nonce: Uint8Array): RefreshToken => {
  const number = Buffer.alloc(4)
  number.writeUInt32BE(n)
  const token = seal.seal(Buffer.concat([number, nonce, prefixed(device)]))
  return { token, device, n, hash: sha256(token) }
}

/** The first of a device's chain. */
export const firstRefresh = (seal: Seal, device: DeviceId): RefreshToken =>
  write(seal, device, 1, randomBytes(NONCE))

/**
 * The one after `last`. With an `attempt`, a text that the client keeps until it has the answer, it is the same
 * every time: a client that lost the answer asks again and is not taken for a thief.
 */
export const nextRefresh = (seal: Seal, last: RefreshToken, attempt?: string): RefreshToken =>
  write(
    seal,
    last.device,
    last.n + 1,
    attempt === undefined ? randomBytes(NONCE) : seal.derive(`${last.token}\0${attempt}`),
  )

export const openRefresh = (seal: Seal, token: string): RefreshToken | Refusal => {
  const body = seal.open(token)
  if (body === undefined || body.length < FIXED) return refuse('unauthorized')
  const [text, end] = textAt(body, FIXED)
  const device = parseDeviceId(text)
  if (device === undefined || end !== body.length) return refuse('unauthorized')
  return { token, device, n: body.readUInt32BE(0), hash: sha256(token) }
}

/** What the directory keeps of an attempt. */
export const attemptHash = (attempt: string): Uint8Array => sha256(`attempt\0${attempt}`)
