/** What is sealed in a resume token: expiry (uint48, ms), generation (uint32), user and device, each after its length. */
import { type DeviceId, parseDeviceId, parseUserId, type UserId } from '../ids.ts'
import type { Verified } from './identity.ts'

const FIXED = 10

export const encodeResume = (identity: Verified): Buffer => {
  const fixed = Buffer.alloc(FIXED)
  fixed.writeUIntBE(identity.expires, 0, 6)
  fixed.writeUInt32BE(identity.generation, 6)
  return Buffer.concat([fixed, prefixed(identity.user), prefixed(identity.device)])
}

export const decodeResume = (body: Buffer): Verified | undefined => {
  if (body.length < FIXED) return undefined
  const [userText, afterUser] = textAt(body, FIXED)
  const [deviceText, end] = textAt(body, afterUser)
  const user: UserId | undefined = parseUserId(userText)
  const device: DeviceId | undefined = parseDeviceId(deviceText)
  if (user === undefined || device === undefined || end !== body.length) return undefined
  return { user, device, generation: body.readUInt32BE(6), expires: body.readUIntBE(0, 6) }
}

export const prefixed = (text: string): Buffer =>
  Buffer.concat([Buffer.of(text.length), Buffer.from(text, 'latin1')])

/** The text whose length stands at `at`, and where it ends. */
export const textAt = (body: Buffer, at: number): [text: string, end: number] => {
  const end = at + 1 + (body[at] ?? 0)
  return [body.toString('latin1', at + 1, end), end]
}
