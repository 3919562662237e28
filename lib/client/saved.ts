/**
 * What a client keeps of its profile besides events: a fold of changes, so that memory and file caches agree.
 * A change is plain JSON; applying one twice is no harm; `changesOf` gives the fewest that lead to the same.
 */
import { assertNever } from '../errors.ts'
import type { RoomId } from '../ids.ts'
import type { Cursor, Pointer } from '../protocol/frames.ts'
import type { Command } from './command.ts'

/** How a command is numbered (contracts N1), with its bytes after the request number, base64. */
export type Numbering = {
  readonly lineage: number
  readonly join: number
  readonly n: number
  readonly tail: string
}

/** A command that is not settled. `key` orders those of a profile. */
export type Item = {
  readonly key: number
  readonly command: Command
  /** The head of the room that was known when the app gave the command: what comes of it is past that. */
  readonly after: number
  /** When the app gave it, ms since 1970 by the local clock. */
  readonly at: number
  readonly numbering?: Numbering
}

/** The last number that was used in a room. `spent`: never number on from here, take a new lineage. */
export type Tally = {
  readonly lineage: number
  readonly join: number
  readonly n: number
  readonly spent: boolean
}

/** The newest of a room's acks: of which command, and where it stands. */
export type Acked = { readonly key: number; readonly seq: number }

/** How far a room was followed: all up to `seq` was handed to the app. */
export type Position = { readonly seq: number; readonly ord: number | undefined }

/** Where the durable queue stands: last number taken, highest stamp seen. */
export type Place = { readonly n: number; readonly stamp: number }

export type Saved = {
  cursor: Cursor | null
  lineage: number | undefined
  place: Place | undefined
  readonly pointers: Map<RoomId, Pointer>
  readonly positions: Map<RoomId, Position>
  readonly tallies: Map<RoomId, Tally>
  readonly items: Map<number, Item>
  readonly acked: Map<RoomId, Acked>
}

export type Change =
  | { readonly op: 'cursor'; readonly cursor: Cursor | null }
  | { readonly op: 'lineage'; readonly lineage: number }
  | { readonly op: 'place'; readonly place: Place }
  | { readonly op: 'pointer'; readonly pointer: Pointer }
  | { readonly op: 'position'; readonly room: RoomId; readonly position: Position }
  | { readonly op: 'forget'; readonly room: RoomId }
  | { readonly op: 'tally'; readonly room: RoomId; readonly tally: Tally }
  | { readonly op: 'put'; readonly item: Item }
  | { readonly op: 'number'; readonly key: number; readonly numbering: Numbering }
  | { readonly op: 'settle'; readonly key: number }
  | { readonly op: 'acked'; readonly room: RoomId; readonly acked: Acked }

export const emptySaved = (): Saved => ({
  cursor: null,
  lineage: undefined,
  place: undefined,
  pointers: new Map(),
  positions: new Map(),
  tallies: new Map(),
  items: new Map(),
  acked: new Map(),
})

export const applyChange = (saved: Saved, change: Change): void => {
  switch (change.op) {
    case 'cursor':
      saved.cursor = change.cursor
      break
    case 'lineage':
      saved.lineage = change.lineage
      break
    case 'place':
      saved.place = change.place
      break
    case 'pointer':
      saved.pointers.set(change.pointer.room, change.pointer)
      break
    case 'position':
      saved.positions.set(change.room, change.position)
      break
    case 'forget':
      // Its tally stays: a number is never used again (contracts N1).
      saved.pointers.delete(change.room)
      saved.positions.delete(change.room)
      break
    case 'tally':
      saved.tallies.set(change.room, change.tally)
      break
    case 'put':
      saved.items.set(change.item.key, change.item)
      break
    case 'number': {
      const item = saved.items.get(change.key)
      if (item === undefined) break
      const { lineage, join, n } = change.numbering
      saved.items.set(change.key, { ...item, numbering: change.numbering })
      saved.tallies.set(item.command.room, { lineage, join, n, spent: false })
      break
    }
    case 'settle':
      saved.items.delete(change.key)
      break
    case 'acked':
      saved.acked.set(change.room, change.acked)
      break
    default:
      assertNever(change)
  }
}

export const changesOf = (saved: Saved): Change[] => {
  const changes: Change[] = [{ op: 'cursor', cursor: saved.cursor }]
  if (saved.lineage !== undefined) changes.push({ op: 'lineage', lineage: saved.lineage })
  if (saved.place !== undefined) changes.push({ op: 'place', place: saved.place })
  for (const pointer of saved.pointers.values()) changes.push({ op: 'pointer', pointer })
  for (const [room, position] of saved.positions) changes.push({ op: 'position', room, position })
  for (const item of saved.items.values()) changes.push({ op: 'put', item })
  for (const [room, tally] of saved.tallies) changes.push({ op: 'tally', room, tally })
  for (const [room, acked] of saved.acked) changes.push({ op: 'acked', room, acked })
  return changes
}

/** What `mine`, read by a client that could not store, learned beyond `stored`. */
export const newerOf = (mine: Saved, stored: Saved): Change[] => {
  const changes: Change[] = []
  for (const [room, pointer] of mine.pointers) {
    const known = stored.pointers.get(room)
    if (known === undefined || known.version < pointer.version) {
      changes.push({ op: 'pointer', pointer })
    }
  }
  for (const [room, position] of mine.positions) {
    if (position.seq > (stored.positions.get(room)?.seq ?? -1)) {
      changes.push({ op: 'position', room, position })
    }
  }
  const { cursor } = mine
  const older =
    stored.cursor === null ||
    (stored.cursor.stream === cursor?.stream && stored.cursor.position < cursor.position)
  if (cursor !== null && older) changes.push({ op: 'cursor', cursor })
  return changes
}
