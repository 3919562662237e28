/** Pointers of rooms that the user has left: kept a while for the cursors that must hear of it (contracts I4). */
import type { UserEntry } from '../../lib/actor/behavior.ts'
import { Reader } from '../../lib/protocol/reader.ts'

const GONE = 1

/** When the user left the room, ms since 1970; undefined when they are in it. Reads POINTER bytes. */
const leftAt = (pointer: Uint8Array): number | undefined => {
  const reader = new Reader(pointer)
  reader.array()
  reader.str(32)
  // version, head, ord
  for (let i = 0; i < 3; i++) reader.uint()
  const time = reader.uint()
  // read, readOrd, from, join, role
  for (let i = 0; i < 5; i++) reader.uint()
  return (reader.uint() & GONE) === 0 ? undefined : time
}

export const tombstonesOf = (
  entries: Iterable<UserEntry>,
  before: number,
  upTo: number,
): UserEntry[] => {
  const old: UserEntry[] = []
  for (const entry of entries) {
    if (entry.position > upTo) continue
    const time = leftAt(entry.value)
    if (time !== undefined && time < before) old.push(entry)
  }
  return old.sort((a, b) => a.position - b.position)
}
