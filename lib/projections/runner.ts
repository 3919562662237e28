/** A projection as a service: it follows the log streams whose leases this process has, until it is drained. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Bucket } from '../bus/bus.ts'
import type { RecordSource } from '../bus/record-source.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Service } from '../service.ts'
import { AsideRecords } from './aside-records.ts'
import { registerProjection } from './floors.ts'
import { Follower } from './follower.ts'
import { Holding } from './holding.ts'
import { Leases, type LeasesOptions } from './leases.ts'
import type { Projection } from './projection.ts'
import { PublishedFloor } from './published-floor.ts'
import { runRebuild } from './rebuild.ts'
import { setAside } from './set-aside.ts'
import { NOTHING_WANTED, type Wanted } from './shares.ts'

export type RunnerOptions<Row> = {
  readonly projection: Projection<Row>
  /** One for each log stream: sources[k] reads LOG_k. */
  readonly sources: readonly RecordSource[]
  /** The same for rebuilds, by consumers of their own. */
  readonly rebuildSources: readonly RecordSource[]
  readonly buckets: {
    readonly cluster: Bucket
    readonly checkpoints: Bucket
    readonly projectors: Bucket
    readonly aside: Bucket
  }
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  /** See FollowerOptions. */
  readonly settleMs?: number
} & Pick<LeasesOptions, 'member' | 'exclusive' | 'timing'>

const REGISTER_RETRY_MS = 200

export type ProjectionRunner = Service & {
  /** The log streams whose leases this process has. */
  readonly held: ReadonlySet<number>
}

/**
 * Starting means being registered; leases, and a store or stream that is away, are waited for in the background, visible
 * as lag. Draining finishes the portions in work, publishes the floors and gives the leases back.
 */
export const projectionRunner = <Row>(options: RunnerOptions<Row>): ProjectionRunner => {
  const { projection, buckets, clock, metrics, sources } = options
  const labels = { projection: projection.name }
  const log = options.log.child(labels)
  const holdings = new Map<number, Holding>()
  let wanted: Wanted = NOTHING_WANTED
  const counts = {
    records: metrics.counter('parley_projection_records_total', labels),
    rows: metrics.counter('parley_projection_rows_total', labels),
    retries: metrics.counter('parley_projection_retries_total', labels),
    missing: metrics.counter('parley_projection_missing_records_total', labels),
    writes: metrics.histogram('parley_projection_write_seconds', labels),
  }
  const rebuilt = metrics.counter('parley_projection_rebuilt_records_total', labels)
  const streams = metrics.gauge('parley_projection_streams', labels)
  streams.set(0)

  const holding = (stream: number, epoch: number): Holding => {
    const its = { ...labels, stream: String(stream) }
    const lag = metrics.gauge('parley_projection_lag_records', its)
    const kept = metrics.gauge('parley_projection_set_aside_records', its)
    const told = log.child({ stream, epoch })
    const published = new PublishedFloor(buckets.checkpoints, projection.name, stream, epoch)
    const records = setAside(buckets.aside, projection.name, stream)
    const aside = new AsideRecords(projection, stream, records, told, (n) => kept.set(n))
    const parts = { projection, stream, published, aside, clock, log: told }
    const settleMs = options.settleMs ?? 0
    return new Holding({
      log: told,
      follow: async (stop) => {
        const source = sources[stream]!
        const follower = new Follower({
          ...{ ...parts, source, settleMs, counts },
          lag: (n) => lag.set(n),
        })
        await follower.run(stop)
      },
      rebuild: (number, stop) =>
        runRebuild({ ...parts, source: options.rebuildSources[stream]!, rebuilt }, number, stop),
    })
  }

  const leases = new Leases(
    {
      ...{ projection: projection.name, streams: sources.length, clock, log },
      ...{ members: buckets.projectors, cluster: buckets.cluster },
      ...{ member: options.member, exclusive: options.exclusive },
      ...(options.timing === undefined ? {} : { timing: options.timing }),
    },
    {
      take: (stream, epoch) => {
        const taken = holding(stream, epoch)
        holdings.set(stream, taken)
        streams.set(holdings.size)
        taken.want(wanted)
      },
      lose: async (stream) => {
        await holdings.get(stream)?.stop()
        holdings.delete(stream)
        streams.set(holdings.size)
        // Whoever has it now tells.
        const its = { ...labels, stream: String(stream) }
        metrics.gauge('parley_projection_lag_records', its).set(0)
        metrics.gauge('parley_projection_set_aside_records', its).set(0)
      },
      wanted: (now) => {
        wanted = now
        for (const one of holdings.values()) one.want(now)
      },
    },
  )

  const register = async (signal: AbortSignal): Promise<void> => {
    for (;;) {
      signal.throwIfAborted()
      try {
        await registerProjection(buckets.cluster, projection.name)
        return
      } catch (err) {
        log.warn({ err }, 'projection.unregistered')
        await delay(REGISTER_RETRY_MS, undefined, { signal })
      }
    }
  }

  return {
    name: `projection ${projection.name}`,
    get held() {
      return leases.held
    },
    start: async (signal) => {
      await register(signal)
      leases.start()
    },
    drain: async (deadline) => {
      const given = new AbortController()
      const out = delay(Math.max(0, deadline - clock.monotonic()), 'out' as const, {
        signal: given.signal,
      })
      try {
        if ((await Promise.race([leases.stop(), out])) === 'out') {
          for (const source of [...sources, ...options.rebuildSources]) source.close()
          throw new Error(`projection ${projection.name} was cut off in a write`)
        }
      } finally {
        given.abort()
        out.catch(() => undefined)
      }
    },
  }
}
