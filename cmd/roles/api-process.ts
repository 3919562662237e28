/** `parley api`: the HTTP API in a process of its own. It makes the keys of all tokens when there are none. */
import type { DirectoryStore } from '../../lib/store/directory/directory.ts'
import type { Tokens } from '../../lib/tokens/tokens.ts'
import { createApi } from './api.ts'
import { awaitDirectory, requirePostgres } from './await-stores.ts'
import type { RoleKind } from './role.ts'
import { openNodeTokens } from './tokens.ts'

type Own = { readonly directory: DirectoryStore; readonly tokens: Tokens; close(): Promise<void> }

export const API: RoleKind<Own> = {
  name: 'api',
  starts: 'it reads which gateways there are',
  drains: 'it drains: requests that it has are finished',
  check: (config) => requirePostgres('api', config),
  open: async (frame, signal) => {
    // First: gateways wait for them.
    const tokens = await openNodeTokens(frame.config)
    const directory = await awaitDirectory(frame, signal)
    return { tokens, directory, close: () => directory.close() }
  },
  create: async ({ own, natsUnready, ...rest }) => {
    const { tokens } = own
    const ready = async () => (await natsUnready()) === undefined
    const directory = Promise.resolve(own.directory)
    const api = createApi({ ...rest, directory, tokens, ready })
    return {
      name: api.name,
      get url() {
        return api.url
      },
      start: (signal) => api.start(signal),
      drain: (deadline) => api.drain(deadline),
      unready: async () => {
        const pending = own.directory.pending(1)
        return pending.then(
          () => undefined,
          () => 'the directory does not answer',
        )
      },
    }
  },
}
