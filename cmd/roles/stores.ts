/** The embedded stores of one machine: history and actor states on LevelDB, the directory on PGlite. */
import { join } from 'node:path'
import type { Config } from '../../lib/config.ts'
import { DIRECTORY_LIMITS, type DirectoryStore } from '../../lib/store/directory/directory.ts'
import type { HistoryStore } from '../../lib/store/history/history.ts'
import { levelHistory } from '../../lib/store/level/level-history.ts'
import { levelState } from '../../lib/store/level/level-state.ts'
import { openLevel } from '../../lib/store/level/open.ts'
import { openPgliteDirectory } from '../../lib/store/postgres/pglite/pglite-directory.ts'
import type { StateStore } from '../../lib/store/state/state.ts'

export type Stores = {
  readonly history: HistoryStore
  readonly state: StateStore
  readonly directory: DirectoryStore
  close(): Promise<void>
}

export const openStores = async (config: Config): Promise<Stores> => {
  const [database, directory] = await Promise.all([
    openLevel(join(config.data, 'level')),
    openPgliteDirectory({
      directory: join(config.data, 'directory'),
      limits: { ...DIRECTORY_LIMITS, maxDevices: config.devices },
    }),
  ])
  const history = levelHistory(database)
  const state = levelState(database)
  return {
    history,
    state,
    directory,
    close: async () => {
      await directory.close()
      await history.close()
      await state.close()
    },
  }
}
