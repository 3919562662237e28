/** Finds out from a room's history what became of commands that the room no longer knows of (contracts N3, N4). */
import { ParleyError } from '../errors.ts'
import { isDm, type RoomId, type UserId } from '../ids.ts'
import { LIMITS } from '../protocol/frames.ts'
import type { Archive } from './archive.ts'
import { lastOf, type RoomEvent } from './events.ts'
import { candidates, match } from './match.ts'
import type { Ack, Slot } from './slot.ts'

/**
 * Reads from the oldest command's `after` to the head: as many pages as were written since.
 * @throws ParleyError when the history can't be read, `settled` when what would tell is no longer kept.
 */
export const lookUp = async (
  archive: Archive,
  room: RoomId,
  slots: readonly Slot[],
  me: UserId,
  signal: AbortSignal,
): Promise<Map<Slot, Ack>> => {
  const events: RoomEvent[] = []
  let gone = 0
  let next = Math.min(...slots.map(({ after }) => after)) + 1
  for (;;) {
    let page: Awaited<ReturnType<Archive['fetchUp']>>
    try {
      page = await archive.fetchUp(room, next, LIMITS.pageEvents, { signal })
    } catch (error) {
      // Nobody is ever removed from a dm: it does not exist yet.
      if (isDm(room) && isAbsent(error)) break
      throw error
    }
    const last = page.entries.at(-1)
    if (last === undefined) break
    gone = Math.max(gone, page.gone)
    const seen = page.entries.filter((entry) => entry.kind !== 'hidden')
    events.push(...candidates(slots, seen, me))
    next = lastOf(last) + 1
    if (next > (page.head ?? 0)) break
  }
  const found = new Map<Slot, Ack>()
  for (const [slot, { seq, id, time }] of match(slots, events)) found.set(slot, { seq, id, time })
  // It may be among what is gone: sent again it could be there twice.
  if (slots.some((slot) => !found.has(slot) && slot.after < gone)) {
    throw new ParleyError('settled', { detail: 'The history that would tell is no longer kept.' })
  }
  return found
}

const isAbsent = (error: unknown): boolean =>
  error instanceof ParleyError && (error.code === 'not_member' || error.code === 'not_found')
