/** What is stored of a device's durable queue: a row of its user, beside the pointers (contracts I5). */
import type { DeviceId, UserId } from '../ids.ts'
import { BadFrame, Reader } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'

/**
 * An owner's first change of what it found stored leaves so many numbers out. A former owner that does not know of it
 * yet counts on from the same row: its changes, of which there are fewer, must lose.
 */
export const TAKEOVER = 2 ** 20

const PREFIX = '!queue.'

/** `closing`: consumer and entries are being deleted. `reset`: entries are being purged, number `n` says so. */
const MODES = ['off', 'on', 'closing', 'reset'] as const

export type DeviceRow = {
  readonly mode: (typeof MODES)[number]
  /** Grows with each change of the row. */
  readonly rev: number
  /** The last number of which the entry is in the stream, and the inbox position up to which all are. */
  readonly n: number
  readonly position: number
}

export const rowKey = (device: DeviceId): string => `${PREFIX}${device}`

/** The device, when the key is that of a queue's row. */
export const deviceOf = (key: string): DeviceId | undefined =>
  key.startsWith(PREFIX) ? (key.slice(PREFIX.length) as DeviceId) : undefined

export const encodeRow = ({ mode, rev, n, position }: DeviceRow): Uint8Array =>
  new Writer(32).array(4).uint(MODES.indexOf(mode)).uint(rev).uint(n).uint(position).take()

/** @throws BadFrame */
export const decodeRow = (bytes: Uint8Array): DeviceRow => {
  const reader = new Reader(bytes)
  const length = reader.array()
  const mode = MODES[reader.uint()]
  if (mode === undefined) throw new BadFrame('a queue in a mode of a newer version')
  const row = { mode, rev: reader.uint(), n: reader.uint(), position: reader.uint() }
  reader.skipRest(length, 4)
  return row
}

/** The users of a partition with queues: what its owner must know before it folds. */
export const encodeUsers = (users: Iterable<UserId>): Uint8Array => {
  const list = [...users]
  const writer = new Writer(1024).array(list.length)
  for (const user of list) writer.str(user)
  return writer.take()
}

/** @throws BadFrame */
export const decodeUsers = (bytes: Uint8Array): UserId[] => {
  const reader = new Reader(bytes)
  return Array.from({ length: reader.array(1_000_000) }, () => reader.str(32) as UserId)
}
