/** The role that derives the history from the log, and drops from it what is too old. */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import type { Nats } from '../../lib/bus/bus.ts'
import { connectRecords } from '../../lib/bus/record-connection.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Config } from '../../lib/config.ts'
import { newIncarnation } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import type { Metrics } from '../../lib/metrics.ts'
import { auditor } from '../../lib/projections/audit.ts'
import { historyProjection } from '../../lib/projections/history.ts'
import { retention } from '../../lib/projections/retention.ts'
import { projectionRunner } from '../../lib/projections/runner.ts'
import { type Service, serviceGroup } from '../../lib/service.ts'
import { type ConsumerSpec, passConsumer, projectionConsumer } from '../../nats/consumers.ts'
import type { FixedShape } from '../../nats/shape.ts'
import type { ActorStores } from './stores.ts'

const DAY_MS = 86_400_000
/** Cassandra and ScyllaDB sync what they acknowledged within 10 s by default (contracts L0). */
const SERVERS_SETTLE_MS = 15_000

export type ProjectorStores = Pick<ActorStores, 'history' | 'exclusive'>

export const createProjector = async (
  { retentionDays, data }: Pick<Config, 'retentionDays' | 'data'>,
  urls: readonly string[],
  nats: Nats,
  shape: FixedShape,
  { history, exclusive }: ProjectorStores,
  log: Log,
  metrics: Metrics,
): Promise<Service> => {
  // Before the connection: nobody would close that if they failed.
  const buckets = {
    cluster: await nats.bucket('cluster'),
    checkpoints: await nats.bucket('checkpoints'),
    projectors: await nats.bucket('projectors'),
    aside: await nats.bucket('aside'),
  }
  const { checkpoints } = buckets
  const { partitions, streams } = shape
  const clock = systemClock
  const member = {
    id: newIncarnation(),
    host: `${hostname()}:${resolve(data)}`,
    pid: process.pid,
  }
  const records = await connectRecords({ servers: urls, name: 'parley projector' })
  const source = ({ stream, config }: ConsumerSpec) =>
    records.source({ stream, consumer: config, clock })
  const each = (specOf: (k: number) => ConsumerSpec) =>
    Array.from({ length: streams }, (_, k) => source(specOf(k)))
  let audits = 0
  const runner = projectionRunner({
    projection: historyProjection(history),
    sources: each((k) => projectionConsumer(shape, k, 'history')),
    rebuildSources: each((k) => passConsumer(shape, k, 'rebuild_history')),
    settleMs: exclusive ? 0 : SERVERS_SETTLE_MS,
    ...{ buckets, member, exclusive, log, metrics, clock },
  })
  const audit = auditor({
    ...{ nats, member: member.id, history, partitions, streams, clock, log },
    source: (k) => source(passConsumer(shape, k, `audit_${member.id}_${++audits}`)),
  })
  const parts: Service[] = [runner, audit]
  if (retentionDays > 0) {
    const keepMs = retentionDays * DAY_MS
    const dropped = metrics.counter('parley_retention_events_total', {})
    parts.push(retention({ history, checkpoints, keepMs, clock, log, dropped }))
  }
  const group = serviceGroup(parts, { name: 'projector', log, clock })
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
