/**
 * Commands to a user's actor, from the gateways (in envelopes) and from the hosts of rooms. Every command is a
 * MessagePack array `[type, …fields]`, read by the table below.
 */

import { readValue, writeValue } from './codec.ts'
import {
  bool,
  type Field,
  type Fields,
  list,
  nullable,
  record,
  str,
  uint,
  user,
  type Wire,
} from './fields.ts'
import { BadFrame, Reader } from './reader.ts'
import { Writer } from './writer.ts'

const cursor = nullable(
  record('Cursor', { stream: str('Incarnation', 64), position: uint('Sequence') }),
)
const req = uint('The client’s request number', 0xffffffff)

export const USER_COMMANDS = {
  /** Admits a session. Answer: `admitted`, or an `error` frame. */
  hello: {
    type: 1,
    fields: {
      req,
      generation: uint('Token generation'),
      cursor,
      wantsLineage: bool('Give a lineage'),
    },
  },
  /** Answer: a `changes` frame. */
  sync: { type: 2, fields: { req, cursor } },
  /** The session is closed. No answer. */
  bye: { type: 3, fields: {} },
  /** Answer: an `ok` frame. */
  queue: { type: 4, fields: { req, on: bool('Wanted') } },
  /** Answer: `routes`. Asked by hosts: `incarnation` is told of changes while the lease lasts. */
  routes: { type: 6, fields: { incarnation: str('The asking host', 32) } },
  /** May `from` start a dm with this user? Answer: an `ok` frame, or an `error` frame. */
  mayDm: { type: 7, fields: { from: user('Who wants to') } },
} as const satisfies Record<string, { type: number; fields: Record<string, Field<unknown>> }>

export type UserCommandName = keyof typeof USER_COMMANDS
export type UserCommand = {
  [N in UserCommandName]: { readonly name: N } & Fields<(typeof USER_COMMANDS)[N]['fields']>
}[UserCommandName]

/** Sessions of a user by gateway; `known` false when the actor is too young to say (contracts R2). */
export const ROUTES = record('Routes', {
  known: bool('The list is complete'),
  sessions: list(
    'Sessions',
    record('Session', { gateway: str('Gateway', 32), handle: uint('Handle') }),
    4096,
  ),
})

/**
 * `rest` follows `textLimit` in a `welcome`, after the lineage: the gateway splices it in unread. `queue` says that the
 * device has a durable queue.
 */
export type Admitted = {
  readonly lineage: number
  readonly queue: boolean
  readonly rest: Uint8Array
}

export const encodeAdmitted = ({ lineage, queue, rest }: Admitted): Uint8Array =>
  new Writer().uint(lineage).bool(queue).raw(rest).take()

export const decodeAdmitted = (bytes: Uint8Array): Admitted => {
  const reader = new Reader(bytes)
  const lineage = reader.uint()
  const queue = reader.bool()
  return { lineage, queue, rest: reader.span(reader.at, bytes.length) }
}

const BY_TYPE = new Map<number, UserCommandName>(
  (Object.keys(USER_COMMANDS) as UserCommandName[]).map((name) => [USER_COMMANDS[name].type, name]),
)

const fieldsOf = (name: UserCommandName) =>
  USER_COMMANDS[name].fields as unknown as Record<string, Wire>

export const encodeUserCommand = (command: UserCommand): Uint8Array => {
  const fields = fieldsOf(command.name)
  const keys = Object.keys(fields)
  const writer = new Writer().array(keys.length + 1).uint(USER_COMMANDS[command.name].type)
  for (const key of keys) {
    writeValue(writer, fields[key]!, (command as unknown as Record<string, unknown>)[key])
  }
  return writer.take()
}

/** @throws BadFrame */
export const decodeUserCommand = (bytes: Uint8Array): UserCommand => {
  const reader = new Reader(bytes)
  const length = reader.array()
  const type = reader.uint()
  const name = BY_TYPE.get(type)
  if (name === undefined) throw new BadFrame(`user command ${type}`)
  const fields = fieldsOf(name)
  const value: Record<string, unknown> = { name }
  let known = 1
  for (const key of Object.keys(fields)) {
    if (known++ >= length) throw new BadFrame(`${key} is missing`)
    value[key] = readValue(reader, fields[key]!)
  }
  reader.skipRest(length, known)
  return value as unknown as UserCommand
}
