/**
 * The account record: what the API tells a user's actor, through the inbox (contracts I6). Always the full state;
 * of two records of one user the higher version wins, so that they may be repeated and come in any order.
 */
import { type DeviceId, parseDeviceId, parseUserId, type UserId } from '../ids.ts'
import { BadFrame, Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** Who may start a dm with a user. */
export const DM_POLICIES = { everyone: 0 } as const
export type DmPolicy = keyof typeof DM_POLICIES

export const ACCOUNT_LIMITS = {
  /** Live devices, and removed ones whose tokens could still be valid. */
  devices: 1024,
  blocked: 10_000,
} as const

export type AccountDevice = { readonly device: DeviceId; readonly removed: boolean }

export type AccountRecord = {
  readonly user: UserId
  /** Of the row in the directory: grows with each change. */
  readonly version: number
  /** False once the account is erased. */
  readonly exists: boolean
  /** Tokens of an older generation are void. */
  readonly tokenGeneration: number
  /** Every live device, and every removed one as long as a token of it could still be valid. */
  readonly devices: readonly AccountDevice[]
  /** A number of DM_POLICIES; one that is not known means nobody. */
  readonly policy: number
  readonly handle: string
  readonly blocked: readonly UserId[]
}

const FIELDS = 8

export const writeAccount = (writer: Writer, record: AccountRecord): Writer => {
  writer.array(FIELDS).str(record.user).uint(record.version).bool(record.exists)
  writer.uint(record.tokenGeneration).array(record.devices.length)
  for (const { device, removed } of record.devices) writer.array(2).str(device).bool(removed)
  writer.uint(record.policy).str(record.handle).array(record.blocked.length)
  for (const user of record.blocked) writer.str(user)
  return writer
}

export const encodeAccount = (record: AccountRecord): Uint8Array =>
  writeAccount(new Writer(), record).take()

/** @throws BadFrame when the bytes are not an account record. */
export const readAccount = (reader: Reader): AccountRecord => {
  const length = reader.array()
  if (length < FIELDS) throw new BadFrame('account record too short')
  const user = readUser(reader)
  const version = reader.uint()
  const exists = reader.bool()
  const tokenGeneration = reader.uint()
  const devices: AccountDevice[] = []
  for (let left = reader.array(ACCOUNT_LIMITS.devices); left > 0; left--) {
    devices.push(readDevice(reader))
  }
  const policy = reader.uint()
  const handle = reader.str(64)
  const blocked: UserId[] = []
  for (let left = reader.array(ACCOUNT_LIMITS.blocked); left > 0; left--) {
    blocked.push(readUser(reader))
  }
  reader.skipRest(length, FIELDS)
  return { user, version, exists, tokenGeneration, devices, policy, handle, blocked }
}

/** @throws BadFrame when the bytes are not an account record. */
export const decodeAccount = (bytes: Uint8Array): AccountRecord => readAccount(new Reader(bytes))

const readUser = (reader: Reader): UserId => {
  const user = parseUserId(reader.str(32))
  if (user === undefined) throw new BadFrame('user id expected')
  return user
}

const readDevice = (reader: Reader): AccountDevice => {
  const length = reader.array()
  if (length < 2) throw new BadFrame('device too short')
  const device = parseDeviceId(reader.str(32))
  if (device === undefined) throw new BadFrame('device id expected')
  const removed = reader.bool()
  reader.skipRest(length, 2)
  return { device, removed }
}

/**
 * Admission at `hello` of a device whose token has a valid signature (contracts I6): undefined when it is admitted,
 * else why not. `unavailable` means that the record is older than the token: ask again in a moment.
 */
export const admission = (
  record: AccountRecord | undefined,
  device: DeviceId,
  generation: number,
): 'unavailable' | 'unauthorized' | 'device_removed' | undefined => {
  if (record === undefined || generation > record.tokenGeneration) return 'unavailable'
  if (!record.exists) return 'unauthorized'
  const known = record.devices.find((entry) => entry.device === device)
  if (known?.removed) return 'device_removed'
  return generation === record.tokenGeneration ? undefined : 'unauthorized'
}
