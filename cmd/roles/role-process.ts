/**
 * A role in a process of its own. Its operations listener comes first and goes last; the role follows when what it
 * stands on is there, and until then it takes nobody's work.
 */
import { mkdirSync } from 'node:fs'
import { Operations } from '../../lib/api/operations.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import type { Log } from '../../lib/log.ts'
import { Metrics } from '../../lib/metrics.ts'
import { type Service, serviceGroup } from '../../lib/service.ts'
import { natsUrlsOf } from './nats-urls.ts'
import { Role, type RoleKind } from './role.ts'
import { removeRoleInfo, writeRoleInfo } from './run-info.ts'

export type RoleProcess = Service & {
  /** Where clients connect; empty for a role without clients. Known once started. */
  readonly url: string
}

/** `onOperations`: told where /health, /ready and /metrics are. @throws Error that says which setting is wrong, and how */
export const openRole = <Own extends { close(): Promise<void> }>(
  kind: RoleKind<Own>,
  config: Config,
  log: Log,
  onOperations: (url: string) => void,
): RoleProcess => {
  kind.check(config)
  const urls = natsUrlsOf(config)
  const metrics = new Metrics({ process: true })
  const role = new Role(kind, urls, { config, log, metrics })
  const operations = new Operations({
    host: config.opsHost,
    port: config.opsPort,
    unready: () => role.unready(),
    metrics: { contentType: metrics.contentType, text: () => metrics.text() },
    log,
    clock: systemClock,
  })
  const { pid } = process
  const info = (url?: string): void =>
    writeRoleInfo(config.data, kind.name, { pid, url, operations: operations.url })
  const known: Service = {
    name: `${kind.name} info`,
    start: async () => {
      mkdirSync(config.data, { recursive: true })
      info()
      onOperations(operations.url)
    },
    drain: async () => removeRoleInfo(config.data, kind.name, pid),
  }
  const options = { name: `${kind.name} process`, log, clock: systemClock }
  const group = serviceGroup([operations, known, role], options)
  return {
    name: group.name,
    get url() {
      return role.url
    },
    start: async (signal) => {
      await group.start(signal)
      if (role.url !== '') info(role.url)
    },
    drain: (deadline) => group.drain(deadline),
  }
}
