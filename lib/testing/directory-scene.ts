/** A directory on a database of its own, and accounts for it. */
import { newDeviceId, newUserId } from '../ids.ts'
import { createLog } from '../log.ts'
import type { DirectoryStore, NewAccount } from '../store/directory/directory.ts'
import { openPostgresDirectory, type PostgresSettings } from '../store/postgres/server/open.ts'
import type { PostgresServer } from './servers/postgres.ts'

interface Test {
  teardown(end: () => Promise<void>): void
}

export const NOW = 1_800_000_000_000

export const newAccount = (handle: string): NewAccount => ({
  user: newUserId(),
  handle,
  name: `Name of ${handle}`,
  passwordHash: 'secret hash',
  device: {
    device: newDeviceId(),
    name: 'phone',
    refresh: { n: 1, hash: new Uint8Array(32).fill(7), expires: NOW + 1000 },
  },
})

export type Scene = {
  readonly store: DirectoryStore
  readonly url: string
  /** Events of the log so far, and what they say. */
  readonly events: { readonly event: string; readonly text: string }[]
  /** Another process with the same database. */
  open(more?: Partial<PostgresSettings>): Promise<DirectoryStore>
}

export const openScene = async (
  t: Test,
  server: PostgresServer,
  given: Partial<PostgresSettings> = {},
): Promise<Scene> => {
  const url = given.url ?? (await server.database())
  const events: Scene['events'] = []
  const log = createLog({
    level: 'debug',
    format: 'json',
    destination: {
      write: (line) => {
        const { event } = JSON.parse(line) as { event: string }
        events.push({ event, text: line })
      },
    },
  })
  const open = async (more: Partial<PostgresSettings> = {}) => {
    const store = await openPostgresDirectory({ url, log, openMs: 10_000, ...given, ...more })
    t.teardown(() => store.close())
    return store
  }
  return { store: await open(), url, events, open }
}
