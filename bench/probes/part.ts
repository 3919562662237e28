/**
 * A probe's process: `part.ts ROLE ARGUMENT`. Told `start` and `stop` by its parent, it answers with the CPU that it
 * used meanwhile and what it counted. Ends with its parent.
 */

import { commitBatches } from './commit-part.ts'
import { serveEcho } from './echo-server.ts'
import { answerInvites, inviteAll } from './publish-parts.ts'

export type PartReport = { readonly cpuUs: number; readonly count: number; readonly p50Us: number }

/** What a role does: set up at once, then counts while it runs. */
export type Part = {
  /** Of an echo server. */
  readonly port?: number
  start(mode: 'many' | 'one'): void
  /** Stops; how many messages there were, and the median round trip (0 when none was timed). */
  stop(): { count: number; p50Us: number }
}

const ROLES: Record<string, (argument: string) => Promise<Part>> = {
  echo: serveEcho,
  ask: inviteAll,
  answer: answerInvites,
  commit: commitBatches,
}

const [role = '', argument = ''] = process.argv.slice(2)
const open = ROLES[role]
if (open !== undefined && process.send !== undefined) {
  const part = await open(argument)
  let before = process.cpuUsage()
  process.on('message', (order: 'many' | 'one' | 'stop') => {
    if (order !== 'stop') {
      before = process.cpuUsage()
      part.start(order)
      process.send?.('started')
      return
    }
    const used = process.cpuUsage(before)
    const report: PartReport = { cpuUs: used.user + used.system, ...part.stop() }
    process.send?.(report)
  })
  process.on('disconnect', () => process.exit())
  process.send({ port: part.port ?? 0 })
}
