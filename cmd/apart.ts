/** Roles in processes of their own: `parley gateway` beside everything else, the others on stores that are servers. */
import type { Command } from 'commander'
import { createLog } from '../lib/log.ts'
import { configOf, withSettings } from './options.ts'
import { end, runService } from './roles/life.ts'
import type { RoleKind } from './roles/role.ts'
import type { RoleProcess } from './roles/role-process.ts'

type Open = (
  opener: typeof import('./roles/role-process.ts').openRole,
  ...given: Given
) => RoleProcess
type Given = [
  config: ReturnType<typeof configOf>,
  log: ReturnType<typeof createLog>,
  onOperations: (url: string) => void,
]
type Row = { readonly doc: string; readonly load: () => Promise<Open>; serves(url: string): string }

const opening =
  <Own extends { close(): Promise<void> }>(kind: RoleKind<Own>): Open =>
  (openRole, ...given) =>
    openRole(kind, ...given)

// Loaded when it is run: the commands of a person who chats need none of it, and start quicker.
const ROLES: Readonly<Record<string, Row>> = {
  gateway: {
    doc: 'run a gateway beside a host: of the same data directory, or with --nats-url',
    load: async () => opening((await import('./roles/gateway-process.ts')).GATEWAY),
    serves: (url) => `The gateway serves ${url}`,
  },
  host: {
    doc: 'run rooms and users in a process of their own (stores on CQL)',
    load: async () => opening((await import('./roles/host-process.ts')).HOST),
    serves: () => 'The host serves',
  },
  projector: {
    doc: 'derive the history in a process of its own (stores on CQL)',
    load: async () => opening((await import('./roles/projector-process.ts')).PROJECTOR),
    serves: () => 'The projector serves',
  },
  api: {
    doc: 'serve the HTTP API in a process of its own (directory on PostgreSQL)',
    load: async () => opening((await import('./roles/api-process.ts')).API),
    serves: (url) => `The API serves ${url}`,
  },
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

export const registerApart = (program: Command): void => {
  for (const [name, { doc, load, serves }] of Object.entries(ROLES)) {
    const command = program.command(name).description(doc)
    withSettings(command).action(async (options: Record<string, unknown>) => {
      const config = configOf(options)
      const log = createLog({ level: config.logLevel, format: config.logFormat })
      const { openRole } = await import('./roles/role-process.ts')
      const open = await load()
      const role = open(openRole, config, log, (url) =>
        say(`Operations at ${url}: /health, /ready, /metrics`),
      )
      await runService(role, log, config.drainSeconds, () => say(serves(role.url)))
      end()
    })
  }
}
