/** Stored changes, checked as they are read: a file is the outside. */
import { parseRoomId, parseUserId } from '../ids.ts'
import { fromBase64 } from './command.ts'
import type { Change } from './saved.ts'

type Fields = Record<string, unknown>
type Check = (value: unknown) => boolean

const uint: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0
const text: Check = (value) => typeof value === 'string'
const flag: Check = (value) => typeof value === 'boolean'
const room: Check = (value) => parseRoomId(value) !== undefined
const user: Check = (value) => parseUserId(value) !== undefined
const users: Check = (value) => Array.isArray(value) && value.every(user)
const bytes: Check = (value) => {
  if (typeof value !== 'string') return false
  try {
    return fromBase64(value).length > 0
  } catch {
    return false
  }
}
const or =
  (...checks: Check[]): Check =>
  (value) =>
    checks.some((check) => check(value))
const nil: Check = (value) => value === null
const absent: Check = (value) => value === undefined
const shape =
  (fields: Record<string, Check>): Check =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(fields).every(([key, check]) => check((value as Fields)[key]))

const numbering = shape({ lineage: uint, join: uint, n: uint, tail: bytes })

const COMMANDS: Record<Extract<Change, { op: 'put' }>['item']['command']['name'], Check> = {
  send: shape({ room, text, peer: or(nil, user) }),
  create: shape({ room, title: text, openHistory: flag, members: users }),
  add: shape({ room, users }),
  remove: shape({ room, user }),
  leave: shape({ room }),
  role: shape({ room, user, role: uint }),
}

const command: Check = (value) =>
  shape({ name: text })(value) &&
  Object.hasOwn(COMMANDS, (value as { name: string }).name) &&
  COMMANDS[(value as { name: keyof typeof COMMANDS }).name](value)

const pointer = shape({
  room,
  version: uint,
  head: uint,
  ord: uint,
  time: uint,
  read: uint,
  readOrd: uint,
  from: uint,
  join: uint,
  role: uint,
  flags: uint,
  title: text,
  sender: or(nil, user),
  preview: or(nil, text),
})

const OPS: Record<Change['op'], Check> = {
  cursor: shape({ cursor: or(nil, shape({ stream: text, position: uint })) }),
  lineage: shape({ lineage: uint }),
  place: shape({ place: shape({ n: uint, stamp: uint }) }),
  pointer: shape({ pointer }),
  position: shape({ room, position: shape({ seq: uint, ord: or(absent, uint) }) }),
  forget: shape({ room }),
  tally: shape({ room, tally: shape({ lineage: uint, join: uint, n: uint, spent: flag }) }),
  put: shape({
    item: shape({ key: uint, command, after: uint, at: uint, numbering: or(absent, numbering) }),
  }),
  number: shape({ key: uint, numbering }),
  settle: shape({ key: uint }),
  acked: shape({ room, acked: shape({ key: uint, seq: uint }) }),
}

/** The change that a stored value is; undefined when it is none. */
export const readChange = (value: unknown): Change | undefined => {
  if (!shape({ op: text })(value)) return undefined
  const { op } = value as { op: string }
  return Object.hasOwn(OPS, op) && OPS[op as Change['op']](value) ? (value as Change) : undefined
}
