/** A projector for history.it.ts to kill: the history of LOG_0 into a directory. `node … URL DIRECTORY` */
import { connectNats } from '../bus/nats.ts'
import { connectRecords } from '../bus/record-connection.ts'
import { systemClock } from '../clock.ts'
import { newIncarnation } from '../ids.ts'
import { createLog } from '../log.ts'
import { Metrics } from '../metrics.ts'
import { levelHistory } from '../store/level/level-history.ts'
import { openLevel } from '../store/level/open.ts'
import { historyProjection } from './history.ts'
import { projectionRunner } from './runner.ts'

const [, , url = '', directory = ''] = process.argv
const options = { servers: [url], name: 'projector' }
const nats = await connectNats(options)
const records = await connectRecords(options)
const history = levelHistory(await openLevel(directory))
const runner = projectionRunner({
  projection: historyProjection(history),
  sources: [
    records.source({
      stream: 'LOG_0',
      consumer: {
        durable_name: 'projection_history',
        replay_policy: 'instant',
        ack_policy: 'all',
        ack_wait: 60_000_000_000,
        max_ack_pending: 10_000,
        max_deliver: -1,
      },
      // Small portions, so that a kill finds many of them in work.
      limits: { records: 5, bytes: 1 << 20 },
      clock: systemClock,
    }),
  ],
  rebuildSources: [],
  buckets: {
    cluster: await nats.bucket('cluster'),
    checkpoints: await nats.bucket('checkpoints'),
    projectors: await nats.bucket('projectors'),
    aside: await nats.bucket('aside'),
  },
  member: { id: newIncarnation(), host: 'test', pid: process.pid },
  exclusive: true,
  log: createLog({ level: 'error', format: 'text' }),
  metrics: new Metrics(),
  clock: systemClock,
})
process.once('SIGTERM', async () => {
  await runner.drain(systemClock.monotonic() + 10_000)
  await history.close()
  await records.close()
  await nats.close()
})
await runner.start(new AbortController().signal)
