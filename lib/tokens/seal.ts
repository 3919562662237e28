/**
 * Tokens that only our own servers read: bytes with an HMAC-SHA256 in front of base64url. Cheaper than a JWT by far
 * (24 against 280 µs) and synchronous, which the gateway's reconnects want.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { SealKey } from './keyring.ts'

const MAC = 32
const HEAD = 2
const VERSION = 1
/** Longer than any token of ours. */
const MOST_CHARS = 512

export type Seal = {
  readonly seal: (body: Uint8Array) => string
  /** What was sealed, or undefined when the text is not, to the bit, a token that this seal made. */
  readonly open: (text: string) => Buffer | undefined
  /** 16 bytes that nobody without the key can foretell, always the same for the same input. */
  readonly derive: (input: string) => Buffer
}

/**
 * A seal for one purpose: its keys are derived from the purpose, so that one kind of token never passes for another.
 * Tokens read `prefix`, then version, key id, body and MAC in base64url.
 */
export const makeSeal = (keys: readonly SealKey[], prefix: string, purpose: string): Seal => {
  const secrets = new Map(
    keys.map(({ id, secret }) => [
      id,
      Buffer.from(hkdfSync('sha256', secret, '', `parley ${purpose}`, 32)),
    ]),
  )
  const first = keys[0]!.id
  const macOf = (secret: Buffer, bytes: Uint8Array) =>
    createHmac('sha256', secret).update(bytes).digest()

  return {
    seal: (body) => {
      const bytes = Buffer.concat([Buffer.of(VERSION, first), body])
      return (
        prefix + Buffer.concat([bytes, macOf(secrets.get(first)!, bytes)]).toString('base64url')
      )
    },
    open: (text) => {
      if (text.length > MOST_CHARS || !text.startsWith(prefix)) return undefined
      const coded = text.slice(prefix.length)
      const bytes = Buffer.from(coded, 'base64url')
      // Node's decoder passes over what it does not know: only the one true spelling is a token.
      if (bytes.length < HEAD + MAC || bytes.toString('base64url') !== coded) return undefined
      const secret = secrets.get(bytes[1]!)
      if (bytes[0] !== VERSION || secret === undefined) return undefined
      const signed = bytes.subarray(0, bytes.length - MAC)
      if (!timingSafeEqual(macOf(secret, signed), bytes.subarray(bytes.length - MAC))) {
        return undefined
      }
      return signed.subarray(HEAD)
    },
    derive: (input) => macOf(secrets.get(first)!, Buffer.from(`derive\0${input}`)).subarray(0, 16),
  }
}
