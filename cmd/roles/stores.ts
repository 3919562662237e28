/** Where history and the states of actors are. */
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import type { Log } from '../../lib/log.ts'
import { openCql } from '../../lib/store/cql/open.ts'
import { cqlOptions } from '../../lib/store/cql/settings.ts'
import type { HistoryStore } from '../../lib/store/history/history.ts'
import { levelHistory } from '../../lib/store/level/level-history.ts'
import { levelState } from '../../lib/store/level/level-state.ts'
import { type LevelDatabase, openLevel } from '../../lib/store/level/open.ts'
import type { StateStore } from '../../lib/store/state/state.ts'

export type ActorStores = {
  readonly history: HistoryStore
  readonly state: StateStore
  /** No other process can have these stores open, so no other host is alive. */
  readonly exclusive: boolean
  close(): Promise<void>
}

/** A process that was killed holds its lock until the kernel is done with it. */
const LOCK_MS = 3000
const LOCK_AGAIN_MS = 100

/** The embedded database of a data directory: its lock is the directory's. @throws ParleyError unavailable */
export const openWhenFree = async (directory: string): Promise<LevelDatabase> => {
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

/**
 * On CQL when contact points are set, else embedded. In both cases the lock of the embedded database says that no other
 * process serves this data directory: hosts are told apart by it. @throws ParleyError unavailable when one does
 */
export const openActorStores = async (config: Config, log: Log): Promise<ActorStores> => {
  const database = await openWhenFree(join(config.data, 'level'))
  const closing =
    (...stores: readonly { close(): Promise<void> }[]) =>
    async () => {
      for (const store of stores) await store.close()
    }
  if (config.cqlContactPoints.length === 0) {
    const history = levelHistory(database)
    const state = levelState(database)
    return { history, state, exclusive: true, close: closing(history, state) }
  }
  const lock = { close: database.hold() }
  try {
    const cql = await openCql(await cqlOptions(config, log))
    return { ...cql, exclusive: false, close: closing(cql, lock) }
  } catch (error) {
    await lock.close()
    throw error
  }
}
