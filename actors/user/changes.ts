/**
 * Cursor sync (contracts I4): what changed since a cursor, newest rooms first, in pages.
 *
 * A final cursor is (incarnation, position). Between pages its stream says `incarnation.since.below`: what is left is
 * newer than `since` and older than `below`; `position` stays that of the first page, from where a later sync goes on.
 * A device that is behind a tombstone which was dropped can not be told what it missed: it gets the full list, also when
 * it was dropped between two of its pages.
 */
import type { Changes, UserEntry } from '../../lib/actor/behavior.ts'
import type { Cursor } from '../../lib/protocol/frames.ts'

/** Pointers of a page. */
export const PAGE = 128

type Want = { since: number; below: number; position: number; full: boolean }

const wantOf = (cursor: Cursor | null, stream: string, head: number, dropped: number): Want => {
  const all = { since: 0, below: Number.POSITIVE_INFINITY, position: head, full: true }
  if (cursor === null) return all
  const [incarnation, since, below, ...rest] = cursor.stream.split('.')
  // Another stream, or a position that it has not reached: the device knows nothing of this inbox.
  if (incarnation !== stream || cursor.position > head || rest.length > 0) return all
  if (since === undefined && cursor.position < dropped) return all
  if (since === undefined) return { ...all, since: cursor.position, full: false }
  const from = Number(since)
  const to = Number(below)
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to)) return all
  if (from !== 0 && from < dropped) return all
  return { since: from, below: to, position: cursor.position, full: from === 0 }
}

export const changesSince = (
  entries: Iterable<UserEntry>,
  cursor: Cursor | null,
  stream: string,
  head: number,
  dropped: number,
): Changes => {
  const { since, below, position, full } = wantOf(cursor, stream, head, dropped)
  const changed: UserEntry[] = []
  for (const entry of entries) {
    if (entry.position > since && entry.position < below && entry.position <= head)
      changed.push(entry)
  }
  changed.sort((a, b) => b.position - a.position || (a.key < b.key ? -1 : 1))
  let count = Math.min(changed.length, PAGE)
  // Pointers of one batch share a position: a page ends between positions, however many that takes.
  while (
    count > 0 &&
    count < changed.length &&
    changed[count]!.position === changed[count - 1]!.position
  ) {
    count++
  }
  const more = count < changed.length
  const last = changed[count - 1]
  return {
    cursor: {
      stream: more && last !== undefined ? `${stream}.${since}.${last.position}` : stream,
      position,
    },
    full,
    more,
    pointers: changed.slice(0, count).map((entry) => entry.value),
  }
}
