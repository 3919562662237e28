/**
 * A room's state as bytes: all of it and nothing else, so that two rooms are the same when their bytes are. Of the
 * newest message only the preview is kept. The last item is a hash of what stands before it.
 */
import type { RoomId, UserId } from '../../lib/ids.ts'
import { hashBytes } from '../../lib/protocol/hash.ts'
import { BadFrame, Reader } from '../../lib/protocol/reader.ts'
import { Writer } from '../../lib/protocol/writer.ts'
import { readRole } from './bodies.ts'
import { type Lineages, newLineages, type Outcome } from './lineages.ts'
import { newestPreview } from './preview.ts'
import { emptyRoom, type Former, type Member, type Room } from './state.ts'

const VERSION = 1
const ID_MAX = 32
const TEXT_MAX = 4096

const writer = new Writer(4096)

const writeLineages = ({ byId, evicted, uses }: Lineages): void => {
  writer.uint(evicted).uint(uses).array(byId.size)
  for (const [id, lineage] of byId) {
    writer.uint(id).uint(lineage.last).uint(lineage.used).array(lineage.outcomes.length)
    for (const { hash, seq, id: message, time, code } of lineage.outcomes) {
      writer.uint(hash).uint(code)
      if (code === 0) writer.uint(seq).id64(message).uint(time)
    }
  }
}

const readLineages = (reader: Reader): Lineages => {
  const lineages = newLineages()
  lineages.evicted = reader.uint()
  lineages.uses = reader.uint()
  for (let n = reader.array(); n > 0; n--) {
    const id = reader.uint()
    const last = reader.uint()
    const used = reader.uint()
    const outcomes: Outcome[] = []
    for (let m = reader.array(); m > 0; m--) outcomes.push(readOutcome(reader))
    lineages.byId.set(id, { last, used, outcomes })
  }
  return lineages
}

const readOutcome = (reader: Reader): Outcome => {
  const hash = reader.uint()
  const code = reader.uint()
  if (code !== 0) return { hash, code, seq: 0, id: 0n, time: 0 }
  return { hash, seq: reader.uint(), id: reader.id64(), time: reader.uint(), code }
}

const writeMember = (member: Member): void => {
  const { user, role, join, from, read, readOrd, earlier } = member
  writer.str(user).uint(role).uint(join).uint(from).uint(read).uint(readOrd)
  writeLineages(member.lineages)
  if (earlier === undefined) {
    writer.nil()
    return
  }
  writer.uint(earlier.join)
  writeLineages(earlier.lineages)
}

const readUser = (reader: Reader): UserId => reader.str(ID_MAX) as UserId

const readMember = (reader: Reader): Member => ({
  user: readUser(reader),
  role: readRole(reader),
  join: reader.uint(),
  from: reader.uint(),
  read: reader.uint(),
  readOrd: reader.uint(),
  lineages: readLineages(reader),
  earlier: reader.nil() ? undefined : { join: reader.uint(), lineages: readLineages(reader) },
})

const writeFormer = (gone: Former): void => {
  writer.str(gone.user).uint(gone.join).uint(gone.from).uint(gone.to).uint(gone.ord)
  writer.uint(gone.time).str(gone.sender).uint(gone.read).uint(gone.readOrd)
  if (gone.preview === null) writer.nil()
  else writer.str(gone.preview)
  writeLineages(gone.lineages)
}

const readFormer = (reader: Reader): Former => ({
  user: readUser(reader),
  join: reader.uint(),
  from: reader.uint(),
  to: reader.uint(),
  ord: reader.uint(),
  time: reader.uint(),
  sender: readUser(reader),
  read: reader.uint(),
  readOrd: reader.uint(),
  preview: reader.nil() ? null : reader.str(TEXT_MAX),
  lineages: readLineages(reader),
})

export const encode = (state: Room): Uint8Array => {
  writer.reset().uint(VERSION).str(state.id)
  writer.uint(state.head).uint(state.ord).uint(state.time)
  if (state.sender === undefined) writer.nil()
  else writer.str(state.sender)
  writer.str(state.title).bool(state.openHistory).uint(state.newest).str(newestPreview(state))
  writer.array(state.members.size)
  for (const member of state.members.values()) writeMember(member)
  writer.array(state.former.size)
  for (const gone of state.former.values()) writeFormer(gone)
  writer.uint(hashBytes(writer.view(), 0, writer.length))
  return writer.take()
}

/** @throws BadFrame when the bytes are of another version, of another room or damaged. */
export const decode = (room: RoomId, bytes: Uint8Array): Room => {
  const reader = new Reader(bytes)
  const version = reader.uint()
  if (version !== VERSION) throw new BadFrame(`room snapshot of version ${version}`)
  if (reader.str(ID_MAX) !== room) throw new BadFrame('snapshot of another room')
  const state = emptyRoom(room)
  state.head = reader.uint()
  state.ord = reader.uint()
  state.time = reader.uint()
  state.sender = reader.nil() ? undefined : readUser(reader)
  state.title = reader.str(TEXT_MAX)
  state.openHistory = reader.bool()
  state.newest = reader.uint()
  state.preview = reader.str(TEXT_MAX)
  for (let n = reader.array(); n > 0; n--) {
    const member = readMember(reader)
    state.members.set(member.user, member)
  }
  state.recipients = [...state.members.keys()]
  for (let n = reader.array(); n > 0; n--) {
    const gone = readFormer(reader)
    state.former.set(gone.user, gone)
  }
  const end = reader.at
  if (reader.uint() !== hashBytes(bytes, 0, end) || !reader.done) {
    throw new BadFrame('room snapshot damaged')
  }
  return state
}
