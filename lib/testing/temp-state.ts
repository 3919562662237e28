import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { levelState } from '../store/level/level-state.ts'
import { openLevel } from '../store/level/open.ts'
import type { StateStore } from '../store/state/state.ts'

interface Test {
  teardown(end: () => Promise<void>): void
}

/** The embedded store in a directory of this test's own, whose calls may be made to fail or wait. */
export const tempState = async (t: Test): Promise<StateStore & { fail: boolean; gate: Gate }> => {
  const directory = await mkdtemp(join(tmpdir(), 'parley-state-'))
  const store = levelState(await openLevel(directory))
  t.teardown(async () => {
    await store.close()
    await rm(directory, { recursive: true, force: true })
  })
  const wrapped = {
    ...store,
    fail: false,
    gate: async (_call: string) => {},
    user: async (user: Parameters<StateStore['user']>[0]) => {
      const rows = await store.user(user)
      await wrapped.gate('user')
      if (wrapped.fail) throw new Error('the store is out of reach')
      return rows
    },
    saveUsers: async (rows: Parameters<StateStore['saveUsers']>[0]) => {
      await wrapped.gate('saveUsers')
      if (wrapped.fail) throw new Error('the store is out of reach')
      await store.saveUsers(rows)
    },
    dropUsers: async (rows: Parameters<StateStore['dropUsers']>[0]) => {
      await wrapped.gate('dropUsers')
      if (wrapped.fail) throw new Error('the store is out of reach')
      await store.dropUsers(rows)
    },
  }
  return wrapped
}

type Gate = (call: string) => Promise<void>
