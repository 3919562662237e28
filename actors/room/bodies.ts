/** Bodies of events (EVENT_KINDS), MessagePack arrays: written by decide, read by evolve. */
import type { UserId } from '../../lib/ids.ts'
import { BadFrame, Reader } from '../../lib/protocol/reader.ts'
import { Writer } from '../../lib/protocol/writer.ts'
import { ROLE, type Role } from './state.ts'

const writer = new Writer(1024)
const ID_MAX = 32

/** `text` is MessagePack already. */
export const messageBody = (text: Uint8Array): Uint8Array =>
  writer.reset().array(1).raw(text).take()

export type Created = {
  readonly title: string
  readonly openHistory: boolean
  readonly members: readonly (readonly [UserId, Role])[]
}

export const createdBody = ({ title, openHistory, members }: Created): Uint8Array => {
  writer.reset().array(3).str(title).bool(openHistory).array(members.length)
  for (const [user, role] of members) writer.array(2).str(user).uint(role)
  return writer.take()
}

export const addedBody = (users: readonly UserId[]): Uint8Array => {
  writer.reset().array(1).array(users.length)
  for (const user of users) writer.str(user)
  return writer.take()
}

export const userBody = (user: UserId): Uint8Array => writer.reset().array(1).str(user).take()

export const roleBody = (user: UserId, role: Role): Uint8Array =>
  writer.reset().array(2).str(user).uint(role).take()

/** Opens a body of at least `fields` items. @throws BadFrame */
const open = (body: Uint8Array, fields: number): Reader => {
  const reader = new Reader(body)
  if (reader.array() < fields) throw new BadFrame('event body too short')
  return reader
}

const readUser = (reader: Reader): UserId => reader.str(ID_MAX) as UserId
export const readRole = (reader: Reader): Role => reader.uint(ROLE.owner) as Role

export const readCreated = (body: Uint8Array): Created => {
  const reader = open(body, 3)
  const title = reader.str(Number.MAX_SAFE_INTEGER)
  const openHistory = reader.bool()
  const members: [UserId, Role][] = []
  for (let n = reader.array(); n > 0; n--) {
    const length = reader.array()
    members.push([readUser(reader), readRole(reader)])
    reader.skipRest(length, 2)
  }
  return { title, openHistory, members }
}

export const readAdded = (body: Uint8Array): UserId[] => {
  const reader = open(body, 1)
  const users: UserId[] = []
  for (let n = reader.array(); n > 0; n--) users.push(readUser(reader))
  return users
}

export const readUserBody = (body: Uint8Array): UserId => readUser(open(body, 1))

export const readRoleBody = (body: Uint8Array): { user: UserId; role: Role } => {
  const reader = open(body, 2)
  return { user: readUser(reader), role: readRole(reader) }
}
