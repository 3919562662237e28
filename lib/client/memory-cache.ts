import { LRUCache } from 'lru-cache'
import type { RoomId } from '../ids.ts'
import type { Account, Cache } from './cache.ts'
import { applyChange, emptySaved, type Saved } from './saved.ts'
import { Shelf } from './shelf.ts'

const ROOMS = 256
const ENTRIES = 2_048

/** A cache for as long as the client lives: the next one is a device that knows nothing, with a new outbox. */
export const memoryCache = (): Cache => {
  let saved: Saved = emptySaved()
  let account: Account | undefined
  const shelves = new LRUCache<RoomId, Shelf>({ max: ROOMS })
  return {
    open: async () => {},
    get saved() {
      return saved
    },
    write: async (changes) => {
      for (const change of changes) {
        applyChange(saved, change)
        if (change.op === 'forget') shelves.delete(change.room)
      }
    },
    account: async () => account,
    saveAccount: async (given) => {
      account = given
    },
    events: async (room, first, last) => shelves.get(room)?.range(first, last) ?? [],
    keep: async (room, entries) => {
      let shelf = shelves.get(room)
      if (shelf === undefined) {
        shelf = new Shelf(ENTRIES)
        shelves.set(room, shelf)
      }
      shelf.add(entries)
    },
    reset: async () => {
      saved = emptySaved()
      shelves.clear()
    },
    close: async () => {},
  }
}
