/** What hosts and gateways count, as metrics. */
import type { Host } from '../../lib/actor/host.ts'
import type { Gateway } from '../../lib/gateway/gateway.ts'
import type { GatewayStats } from '../../lib/gateway/stats.ts'
import { CLOSE_REASONS, type Metrics } from '../../lib/metrics.ts'
import { type Sample, sampler } from '../../lib/sampled.ts'
import type { Service } from '../../lib/service.ts'

type HostStats = Host<unknown, unknown>['stats'] & { readonly partitions: number }

const hostSamples = (metrics: Metrics): Sample<HostStats>[] => [
  { gauge: metrics.gauge('parley_host_partitions', {}), of: (s) => s.partitions },
  { gauge: metrics.gauge('parley_host_rooms', {}), of: (s) => s.rooms },
  { gauge: metrics.gauge('parley_host_users', {}), of: (s) => s.users },
  { gauge: metrics.gauge('parley_host_pointers_waiting', {}), of: (s) => s.pointers },
  { counter: metrics.counter('parley_host_commands_total', {}), of: (s) => s.commands },
  { counter: metrics.counter('parley_host_batches_total', {}), of: (s) => s.batches },
  { counter: metrics.counter('parley_host_records_total', {}), of: (s) => s.records },
  { counter: metrics.counter('parley_host_log_bytes_total', {}), of: (s) => s.bytes },
  { counter: metrics.counter('parley_host_doubts_total', {}), of: (s) => s.doubts },
  {
    counter: metrics.counter('parley_host_deliveries_total', { way: 'handle' }),
    of: (s) => s.handles,
  },
  {
    counter: metrics.counter('parley_host_deliveries_total', { way: 'subject' }),
    of: (s) => s.live,
  },
]

const IN = { direction: 'in' } as const
const OUT = { direction: 'out' } as const

const gatewaySamples = (metrics: Metrics): Sample<GatewayStats>[] => [
  { gauge: metrics.gauge('parley_gateway_sessions', {}), of: (s) => s.sessions },
  { gauge: metrics.gauge('parley_gateway_users', {}), of: (s) => s.users },
  { gauge: metrics.gauge('parley_gateway_outstanding', {}), of: (s) => s.outstanding },
  { gauge: metrics.gauge('parley_gateway_queues', {}), of: (s) => s.queues },
  { counter: metrics.counter('parley_gateway_messages_total', IN), of: (s) => s.messagesIn },
  { counter: metrics.counter('parley_gateway_messages_total', OUT), of: (s) => s.messagesOut },
  { counter: metrics.counter('parley_gateway_bytes_total', IN), of: (s) => s.bytesIn },
  { counter: metrics.counter('parley_gateway_bytes_total', OUT), of: (s) => s.bytesOut },
  { counter: metrics.counter('parley_gateway_envelopes_total', IN), of: (s) => s.envelopesIn },
  { counter: metrics.counter('parley_gateway_envelopes_total', OUT), of: (s) => s.envelopesOut },
  { counter: metrics.counter('parley_gateway_frames_out_total', {}), of: (s) => s.framesOut },
  { counter: metrics.counter('parley_gateway_frames_dropped_total', {}), of: (s) => s.dropped },
  { counter: metrics.counter('parley_gateway_resends_total', {}), of: (s) => s.resends },
  { counter: metrics.counter('parley_gateway_given_up_total', {}), of: (s) => s.gaveUp },
  { counter: metrics.counter('parley_gateway_moved_total', {}), of: (s) => s.moved },
  { counter: metrics.counter('parley_gateway_timeouts_total', {}), of: (s) => s.timeouts },
  { counter: metrics.counter('parley_gateway_lost_handles_total', {}), of: (s) => s.lost },
  { counter: metrics.counter('parley_gateway_turned_away_total', {}), of: (s) => s.turnedAway },
  ...CLOSE_REASONS.map((reason) => ({
    counter: metrics.counter('parley_gateway_closes_total', { reason }),
    of: (s: GatewayStats) => s.closes[reason] ?? 0,
  })),
]

export const hostSampler = <Room, User>(host: Host<Room, User>, metrics: Metrics): Service =>
  sampler(
    'host metrics',
    () => ({ ...host.stats, partitions: host.serving.length }),
    hostSamples(metrics),
  )

export const gatewaySampler = (gateway: Gateway, metrics: Metrics): Service =>
  sampler('gateway metrics', () => gateway.stats(), gatewaySamples(metrics))
