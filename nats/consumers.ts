/** Every durable consumer of Parley as data. Whoever makes one passes the config to `jsm.consumers.add(stream, config)`. */
import type { ConsumerConfig } from '@nats-io/jetstream'
import { type DeviceId, partitionOf, type UserId } from '../lib/ids.ts'
import { inboxSubject, queueSubject, streamOf } from '../lib/subjects.ts'
import type { FixedShape } from './shape.ts'

export interface ConsumerSpec {
  readonly stream: string
  readonly config: ConsumerConfig & {
    readonly durable_name: string
    readonly ack_wait: number
    readonly max_ack_pending: number
    readonly max_deliver: number
    readonly max_waiting: number
    readonly inactive_threshold: number
    readonly num_replicas: number
    readonly mem_storage: boolean
  }
}

const SECOND = 1_000_000_000
const HOUR = 3_600 * SECOND
const UNLIMITED = -1
const NEVER = 0
/** As many as its stream has. */
const AS_STREAM = 0

/**
 * The fold of partition `p` by the owner of `epoch` (contracts I3): its own, since two hosts on one consumer would split
 * the stream; one replica, in memory, since the fold knows its position and makes a lost one again from there. (On disk
 * each ack rewrites a file: 400 renames a second, a third of all that the server did for 50 busy rooms; adr/0005.) Acks
 * say how far the fold is stored, which may wait for as long as the store is out of reach.
 */
export const inboxConsumer = (
  shape: FixedShape,
  p: number,
  epoch: number,
  startSeq: number,
): ConsumerSpec => ({
  stream: streamOf('INBOX', p, shape.streams),
  config: {
    durable_name: `inbox_${p}_${epoch}`,
    filter_subject: inboxSubject(p),
    deliver_policy: 'by_start_sequence',
    opt_start_seq: startSeq,
    replay_policy: 'instant',
    ack_policy: 'all',
    ack_wait: 24 * HOUR,
    max_ack_pending: UNLIMITED,
    max_deliver: UNLIMITED,
    max_waiting: 16,
    // Its owner deletes it; this is for owners that were never followed by another.
    inactive_threshold: 24 * HOUR,
    num_replicas: 1,
    mem_storage: true,
  },
})

/**
 * What projection `name` has stored of log stream `k`. One process pulls it; acks are cumulative and follow what its
 * store has made durable, so a redelivery repeats what is idempotent.
 */
export const projectionConsumer = (shape: FixedShape, k: number, name: string): ConsumerSpec => ({
  stream: streamOf('LOG', k, shape.streams),
  config: {
    durable_name: `projection_${name}`,
    deliver_policy: 'all',
    replay_policy: 'instant',
    ack_policy: 'all',
    ack_wait: 60 * SECOND,
    max_ack_pending: 10_000,
    max_deliver: UNLIMITED,
    max_waiting: 16,
    inactive_threshold: NEVER,
    num_replicas: AS_STREAM,
    mem_storage: false,
  },
})

/**
 * For reading log stream `k` once: a rebuild or an audit, which know their own position and make a lost one again. Acks
 * only bound what is under way.
 */
export const passConsumer = (shape: FixedShape, k: number, name: string): ConsumerSpec => ({
  stream: streamOf('LOG', k, shape.streams),
  config: {
    durable_name: name,
    deliver_policy: 'all',
    replay_policy: 'instant',
    ack_policy: 'all',
    ack_wait: 600 * SECOND,
    max_ack_pending: 10_000,
    max_deliver: UNLIMITED,
    max_waiting: 16,
    inactive_threshold: 120 * SECOND,
    num_replicas: 1,
    mem_storage: true,
  },
})

/** The stream number of a user's durable queues. */
export const queueNumber = (shape: FixedShape, user: UserId): number =>
  partitionOf(user, shape.partitions) % shape.streams

/** The durable queue of a device (contracts I5). Its user's actor deletes it with the device. */
export const queueConsumer = (
  shape: FixedShape,
  user: UserId,
  device: DeviceId,
): ConsumerSpec & { readonly config: { readonly filter_subject: string } } => {
  const k = queueNumber(shape, user)
  return {
    stream: streamOf('QUEUE', k, shape.streams),
    config: {
      durable_name: device,
      filter_subject: queueSubject(k, user, device),
      deliver_policy: 'all',
      replay_policy: 'instant',
      ack_policy: 'explicit',
      ack_wait: 30 * SECOND,
      max_ack_pending: 256,
      max_deliver: UNLIMITED,
      max_waiting: 4,
      inactive_threshold: NEVER,
      num_replicas: AS_STREAM,
      mem_storage: false,
    },
  }
}
