/**
 * Everything that Parley measures, as one table from which docs/OPERATIONS.md is made. A label takes its values from a
 * table, never from ids: the number of series is known before the first user comes.
 */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { CLOSE, type CloseReason } from './errors.ts'

/** The projections that there are: a label's values, and their names in KV and consumers. */
export const PROJECTIONS = ['history'] as const
export type ProjectionName = (typeof PROJECTIONS)[number]

type Declaration = {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /** Label → the values it may have. */
  readonly labels: Readonly<Record<string, readonly string[]>>
  /** Of a histogram: upper bounds, in the unit that the name ends in. */
  readonly buckets?: readonly number[]
}

export const DELIVERY_WAYS = ['handle', 'subject'] as const
export const DIRECTIONS = ['in', 'out'] as const
export const CLOSE_REASONS = Object.keys(CLOSE) as CloseReason[]

/** k of the log streams that there may be (lib/config.ts bounds them). */
export const STREAM_NUMBERS: readonly string[] = Array.from({ length: 64 }, (_, k) => String(k))

const projection = { projection: PROJECTIONS }
const projectedStream = { projection: PROJECTIONS, stream: STREAM_NUMBERS }

export const METRICS = {
  parley_projection_records_total: {
    kind: 'counter',
    help: 'Log records (committed batches) that a projection has stored',
    labels: projection,
  },
  parley_projection_rows_total: {
    kind: 'counter',
    help: 'Rows that a projection has stored; a replay counts again',
    labels: projection,
  },
  parley_projection_lag_records: {
    kind: 'gauge',
    help: 'Log records of a stream that is followed here which a projection has not stored yet',
    labels: projectedStream,
  },
  parley_projection_write_seconds: {
    kind: 'histogram',
    help: 'Time of a write of a projection to its store',
    labels: projection,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
  },
  parley_projection_retries_total: {
    kind: 'counter',
    help: 'Times that a projection began again from its floor after a failure of store or stream',
    labels: projection,
  },
  parley_projection_set_aside_records: {
    kind: 'gauge',
    help: 'Log records of a stream that is followed here which a projection could not read or store, kept in KV aside; should be 0',
    labels: projectedStream,
  },
  parley_projection_missing_records_total: {
    kind: 'counter',
    help: 'Log positions that were gone from the stream before a projection had stored them; should be 0',
    labels: projection,
  },
  parley_projection_streams: {
    kind: 'gauge',
    help: 'Log streams whose lease this process has',
    labels: projection,
  },
  parley_projection_rebuilt_records_total: {
    kind: 'counter',
    help: 'Log records that were read again by rebuilds',
    labels: projection,
  },
  parley_retention_events_total: {
    kind: 'counter',
    help: 'Events that were dropped from the history for their age; what a crash interrupted counts again',
    labels: {},
  },
  parley_host_partitions: {
    kind: 'gauge',
    help: 'Partitions that this host serves',
    labels: {},
  },
  parley_host_rooms: {
    kind: 'gauge',
    help: 'Rooms that are in memory',
    labels: {},
  },
  parley_host_users: {
    kind: 'gauge',
    help: 'Users whose actors are in memory',
    labels: {},
  },
  parley_host_commands_total: {
    kind: 'counter',
    help: 'Commands for rooms that came, resent ones counted again',
    labels: {},
  },
  parley_host_batches_total: {
    kind: 'counter',
    help: 'Batches committed to the log',
    labels: {},
  },
  parley_host_records_total: {
    kind: 'counter',
    help: 'Records committed to the log',
    labels: {},
  },
  parley_host_log_bytes_total: {
    kind: 'counter',
    help: 'Bytes of the batches committed to the log',
    labels: {},
  },
  parley_host_doubts_total: {
    kind: 'counter',
    help: 'Attempts to append to the log that failed for now and were repeated',
    labels: {},
  },
  parley_host_pointers_waiting: {
    kind: 'gauge',
    help: 'Pointers that JetStream does not have yet',
    labels: {},
  },
  parley_host_deliveries_total: {
    kind: 'counter',
    help: 'Frames for sessions: by session handle, or by subject for users without a route',
    labels: { way: DELIVERY_WAYS },
  },
  parley_gateway_sessions: {
    kind: 'gauge',
    help: 'Connections, admitted or not yet',
    labels: {},
  },
  parley_gateway_users: {
    kind: 'gauge',
    help: 'Users with a session here',
    labels: {},
  },
  parley_gateway_outstanding: {
    kind: 'gauge',
    help: 'Commands without an answer',
    labels: {},
  },
  parley_gateway_queues: {
    kind: 'gauge',
    help: 'Sessions with a durable queue',
    labels: {},
  },
  parley_gateway_messages_total: {
    kind: 'counter',
    help: 'WebSocket messages of clients',
    labels: { direction: DIRECTIONS },
  },
  parley_gateway_bytes_total: {
    kind: 'counter',
    help: 'Bytes of WebSocket messages',
    labels: { direction: DIRECTIONS },
  },
  parley_gateway_frames_out_total: {
    kind: 'counter',
    help: 'Frames written to clients',
    labels: {},
  },
  parley_gateway_frames_dropped_total: {
    kind: 'counter',
    help: 'Droppable frames left out for slow readers',
    labels: {},
  },
  parley_gateway_envelopes_total: {
    kind: 'counter',
    help: 'Envelopes to and from hosts',
    labels: { direction: DIRECTIONS },
  },
  parley_gateway_resends_total: {
    kind: 'counter',
    help: 'Commands that were sent again',
    labels: {},
  },
  parley_gateway_given_up_total: {
    kind: 'counter',
    help: 'Commands given up without an answer; should be 0',
    labels: {},
  },
  parley_gateway_moved_total: {
    kind: 'counter',
    help: 'Times that a partition was held because it is served elsewhere',
    labels: {},
  },
  parley_gateway_timeouts_total: {
    kind: 'counter',
    help: 'Times that a partition was silent for too long',
    labels: {},
  },
  parley_gateway_lost_handles_total: {
    kind: 'counter',
    help: 'Frames of hosts for sessions that were gone',
    labels: {},
  },
  parley_gateway_turned_away_total: {
    kind: 'counter',
    help: 'Connections that were not let in',
    labels: {},
  },
  parley_gateway_closes_total: {
    kind: 'counter',
    help: 'Sessions ended by the gateway',
    labels: { reason: CLOSE_REASONS },
  },
} as const satisfies Record<string, Declaration>

type Table = typeof METRICS
type OfKind<K extends Declaration['kind']> = {
  [Name in keyof Table]: Table[Name]['kind'] extends K ? Name : never
}[keyof Table]
export type LabelsOf<Name extends keyof Table> = {
  readonly [L in keyof Table[Name]['labels']]: Table[Name]['labels'][L] extends readonly (infer V)[]
    ? V
    : never
}

type Labels = Record<string, string>

/** One series each: bound once, then cheap enough for a hot path. */
export type CounterSeries = { inc(by?: number): void }
export type GaugeSeries = {
  set(value: number): void
  inc(by?: number): void
  dec(by?: number): void
}
export type HistogramSeries = { observe(value: number): void }

export class Metrics {
  readonly #registry = new Registry()

  /** With `process`, also the memory, CPU, event loop and garbage collection of this process. */
  constructor(options: { readonly process?: boolean } = {}) {
    if (options.process === true) collectDefaultMetrics({ register: this.#registry })
  }

  counter<Name extends OfKind<'counter'>>(name: Name, labels: LabelsOf<Name>): CounterSeries
  counter(name: keyof Table, labels: Labels): CounterSeries {
    const series = this.#metric(name, labels, (settings) => new Counter(settings)).labels(labels)
    // There from the start, so that a rate sees the first increment.
    series.inc(0)
    return series
  }

  gauge<Name extends OfKind<'gauge'>>(name: Name, labels: LabelsOf<Name>): GaugeSeries
  gauge(name: keyof Table, labels: Labels): GaugeSeries {
    return this.#metric(name, labels, (settings) => new Gauge(settings)).labels(labels)
  }

  histogram<Name extends OfKind<'histogram'>>(name: Name, labels: LabelsOf<Name>): HistogramSeries
  histogram(name: keyof Table, labels: Labels): HistogramSeries {
    return this.#metric(name, labels, (settings) => new Histogram(settings)).labels(labels)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** All series that have been bound, in the text format of Prometheus. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  #metric<M>(name: keyof Table, labels: Labels, make: (settings: Settings) => M): M {
    const declared: Declaration = METRICS[name]
    for (const [label, values] of Object.entries(declared.labels)) {
      const value = labels[label]
      if (value === undefined || !values.includes(value)) {
        throw new Error(`${name}: ${value} is not in the table of label ${label}`)
      }
    }
    const known = this.#registry.getSingleMetric(name)
    // The registry holds what this method put there under this name, so its kind is the table's.
    if (known !== undefined) return known as unknown as M
    return make({
      name,
      help: declared.help,
      labelNames: Object.keys(declared.labels),
      registers: [this.#registry],
      ...(declared.buckets === undefined ? {} : { buckets: [...declared.buckets] }),
    })
  }
}

type Settings = {
  name: string
  help: string
  labelNames: string[]
  registers: Registry[]
  buckets?: number[]
}
