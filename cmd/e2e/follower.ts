/**
 * Prints every event of every room, one JSON object a line, as `parley tail --json --events` does, on a device whose place
 * the server keeps in a durable queue (contracts I5): `follower.ts FOLDER SERVER COUNT`. Ends after that many.
 */
import { folderProfile } from '../../lib/client/index.node.ts'
import { Client } from '../../lib/client/index.ts'
import { jsonEvent } from '../chat/print.ts'

const PATIENCE_MS = 120_000

const [folder = '', api = '', count = ''] = process.argv.slice(2)
const client = new Client({
  ...{ api, ...folderProfile(folder), delivery: 'queue', history: 'all' },
  backoff: { base: 100, cap: 2_000 },
})
const enough = Promise.withResolvers<void>()
let left = Number(count)
client.on('event', (event) => {
  if (left <= 0) return
  process.stdout.write(`${jsonEvent(event)}\n`)
  if (--left === 0) enough.resolve()
})
// A device without a queue would prove nothing of queues.
client.on('warning', (error) => enough.reject(error))
client.on('state', ({ state, reason }) => {
  if (state === 'closed' && reason !== undefined) enough.reject(reason)
})
await client.connect({ within: PATIENCE_MS })
try {
  await enough.promise
} finally {
  await client.close()
}
