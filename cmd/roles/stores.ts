/** Where history and the states of actors are. */
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import type { HistoryStore } from '../../lib/store/history/history.ts'
import { levelHistory } from '../../lib/store/level/level-history.ts'
import { levelState } from '../../lib/store/level/level-state.ts'
import { type LevelDatabase, openLevel } from '../../lib/store/level/open.ts'
import type { StateStore } from '../../lib/store/state/state.ts'

export type ActorStores = {
  readonly history: HistoryStore
  readonly state: StateStore
  close(): Promise<void>
}

/** A process that was killed holds its lock until the kernel is done with it. */
const LOCK_MS = 3000
const LOCK_AGAIN_MS = 100

const openWhenFree = async (directory: string): Promise<LevelDatabase> => {
  const until = systemClock.monotonic() + LOCK_MS
  for (;;) {
    try {
      return await openLevel(directory)
    } catch (error) {
      if (systemClock.monotonic() > until) throw error
      await pause(LOCK_AGAIN_MS)
    }
  }
}

/** Its lock says that no other process serves this data directory. @throws ParleyError unavailable when one does */
export const openActorStores = async (config: Config): Promise<ActorStores> => {
  const database = await openWhenFree(join(config.data, 'level'))
  const history = levelHistory(database)
  const state = levelState(database)
  return {
    history,
    state,
    close: async () => {
      await history.close()
      await state.close()
    },
  }
}
