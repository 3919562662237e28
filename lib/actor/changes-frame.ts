/** What changed in a user's inbox, as its bytes. */
import { FRAMES } from '../protocol/frames.ts'
import { Writer } from '../protocol/writer.ts'
import type { Changes } from './behavior.ts'

/** Cursor, full, more and pointers, as they end both `welcome` and `changes`. */
export const writeChanges = (writer: Writer, changes: Changes): Writer => {
  writer.array(2).str(changes.cursor.stream).uint(changes.cursor.position)
  writer.bool(changes.full).bool(changes.more).array(changes.pointers.length)
  for (const pointer of changes.pointers) writer.raw(pointer)
  return writer
}

export const changesFrame = (req: number, changes: Changes): Uint8Array =>
  writeChanges(new Writer(512).array(6).uint(FRAMES.changes.type).uint(req), changes).take()
