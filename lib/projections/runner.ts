/** A projection as a service: it follows every log stream, each by itself, until it is drained. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Bucket } from '../bus/bus.ts'
import type { RecordSource } from '../bus/record-source.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Service } from '../service.ts'
import { registerProjection } from './floors.ts'
import { Follower } from './follower.ts'
import type { Projection } from './projection.ts'

export type RunnerOptions<Row> = {
  readonly projection: Projection<Row>
  /** One for each log stream: sources[k] reads LOG_k. */
  readonly sources: readonly RecordSource[]
  /** KV `cluster` and `checkpoints`. */
  readonly cluster: Bucket
  readonly checkpoints: Bucket
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  /** See FollowerOptions. */
  readonly settleMs?: number
}

const REGISTER_RETRY_MS = 200

/**
 * Starting means being registered; a store or stream that is away is waited for in the background, visible as lag.
 * Draining finishes the portion in work and publishes the floors.
 */
export const projectionRunner = <Row>(options: RunnerOptions<Row>): Service => {
  const { projection, cluster, clock, metrics } = options
  const labels = { projection: projection.name }
  const log = options.log.child(labels)
  const stop = new AbortController()
  let following: Promise<unknown> = Promise.resolve()

  const gauge = (name: 'parley_projection_lag_records' | 'parley_projection_set_aside_records') => {
    const series = metrics.gauge(name, labels)
    const parts = options.sources.map(() => 0)
    return (stream: number) => (records: number) => {
      parts[stream] = records
      series.set(parts.reduce((sum, part) => sum + part, 0))
    }
  }

  const followers = (): Follower<Row>[] => {
    const counts = {
      records: metrics.counter('parley_projection_records_total', labels),
      rows: metrics.counter('parley_projection_rows_total', labels),
      retries: metrics.counter('parley_projection_retries_total', labels),
      missing: metrics.counter('parley_projection_missing_records_total', labels),
      writes: metrics.histogram('parley_projection_write_seconds', labels),
    }
    const lag = gauge('parley_projection_lag_records')
    const aside = gauge('parley_projection_set_aside_records')
    return options.sources.map(
      (source, stream) =>
        new Follower({
          projection,
          stream,
          source,
          checkpoints: options.checkpoints,
          log: log.child({ stream }),
          clock,
          settleMs: options.settleMs ?? 0,
          counts,
          gauges: { lag: lag(stream), aside: aside(stream) },
        }),
    )
  }

  const register = async (signal: AbortSignal): Promise<void> => {
    for (;;) {
      signal.throwIfAborted()
      try {
        await registerProjection(cluster, projection.name)
        return
      } catch (err) {
        log.warn({ err }, 'projection.unregistered')
        await delay(REGISTER_RETRY_MS, undefined, { signal })
      }
    }
  }

  return {
    name: `projection ${projection.name}`,
    start: async (signal) => {
      await register(signal)
      following = Promise.all(followers().map((follower) => follower.run(stop.signal)))
      // `drain` awaits it; until then a bug in a follower must not go unseen.
      following.catch((err) => log.error({ err }, 'projection.stopped'))
    },
    drain: async (deadline) => {
      stop.abort()
      const given = new AbortController()
      const out = delay(Math.max(0, deadline - clock.monotonic()), 'out' as const, {
        signal: given.signal,
      })
      try {
        if ((await Promise.race([following, out])) === 'out') {
          for (const source of options.sources) source.close()
          throw new Error(`projection ${projection.name} was cut off in a write`)
        }
      } finally {
        given.abort()
        out.catch(() => undefined)
      }
    },
  }
}
