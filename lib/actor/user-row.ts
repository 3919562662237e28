/**
 * A user's entry as it is stored. The row's own position is the entry's version, since of two states of a room the
 * newer wins whoever folded it (contracts I1); its inbox position is inside.
 */
import type { UserId } from '../ids.ts'
import { Reader } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'
import type { UserRow } from '../store/state/state.ts'
import { ACCOUNT_KEY, DROPPED_KEY, type UserEntry } from './behavior.ts'

/** Rows whose key starts with `!` belong to others, but for the account. */
export const isEntry = (key: string): boolean => key === ACCOUNT_KEY || !key.startsWith('!')

/** True when the row is the pointer of the room that it is named by. */
export const isPointer = (key: string): boolean => !key.startsWith('!') && key !== DROPPED_KEY

export const rowOf = (user: UserId, entry: UserEntry): UserRow => ({
  user,
  key: entry.key,
  position: entry.version,
  value: new Writer(entry.value.length + 9).uint(entry.position).raw(entry.value).take(),
})

/** @throws BadFrame */
export const entryOf = (row: UserRow): UserEntry => {
  const reader = new Reader(row.value)
  const position = reader.uint()
  return { key: row.key, version: row.position, position, value: row.value.subarray(reader.at) }
}
