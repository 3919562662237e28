/** The role that derives the history from the log, and drops from it what is too old. */
import type { Nats } from '../../lib/bus/bus.ts'
import { connectRecords } from '../../lib/bus/record-connection.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import type { Log } from '../../lib/log.ts'
import type { Metrics } from '../../lib/metrics.ts'
import { historyProjection } from '../../lib/projections/history.ts'
import { retention } from '../../lib/projections/retention.ts'
import { projectionRunner } from '../../lib/projections/runner.ts'
import { type Service, serviceGroup } from '../../lib/service.ts'
import type { HistoryStore } from '../../lib/store/history/history.ts'
import { projectionConsumer } from '../../nats/consumers.ts'
import type { FixedShape } from '../../nats/shape.ts'

const DAY_MS = 86_400_000

export const createProjector = async (
  { retentionDays }: Pick<Config, 'retentionDays'>,
  urls: readonly string[],
  nats: Nats,
  shape: FixedShape,
  history: HistoryStore,
  log: Log,
  metrics: Metrics,
): Promise<Service> => {
  // Before the connection: nobody would close that if they failed.
  const cluster = await nats.bucket('cluster')
  const checkpoints = await nats.bucket('checkpoints')
  const records = await connectRecords({ servers: urls, name: 'parley projector' })
  const sources = Array.from({ length: shape.streams }, (_, k) => {
    const { stream, config } = projectionConsumer(shape, k, 'history')
    return records.source({ stream, consumer: config, clock: systemClock })
  })
  const runner = projectionRunner({
    projection: historyProjection(history),
    sources,
    cluster,
    checkpoints,
    log,
    metrics,
    clock: systemClock,
  })
  const parts = [runner]
  if (retentionDays > 0) {
    const keepMs = retentionDays * DAY_MS
    const dropped = metrics.counter('parley_retention_events_total', {})
    parts.push(retention({ history, checkpoints, keepMs, clock: systemClock, log, dropped }))
  }
  const group = serviceGroup(parts, { name: 'projector', log, clock: systemClock })
  return {
    name: 'projector',
    start: (signal) => group.start(signal),
    drain: async (deadline) => {
      try {
        await group.drain(deadline)
      } finally {
        await records.close()
      }
    },
  }
}
