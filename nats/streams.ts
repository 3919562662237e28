/** Every stream and bucket of Parley as data. The type makes each limit explicit: none is left to a server's default. */
import type { StreamConfig } from '@nats-io/jetstream'
import { inboxSubject, logSubject, streamOf } from '../lib/subjects.ts'
import type { Shape } from './shape.ts'

export type StreamSpec = Required<
  Pick<
    StreamConfig,
    | 'name'
    | 'description'
    | 'subjects'
    | 'storage'
    | 'retention'
    | 'discard'
    | 'discard_new_per_subject'
    | 'max_bytes'
    | 'max_age'
    | 'max_msgs'
    | 'max_msgs_per_subject'
    | 'max_msg_size'
    | 'max_consumers'
    | 'num_replicas'
    | 'duplicate_window'
    | 'compression'
    | 'persist_mode'
    | 'allow_direct'
    | 'mirror_direct'
    | 'allow_rollup_hdrs'
    | 'allow_msg_ttl'
    | 'deny_delete'
    | 'deny_purge'
    | 'sealed'
  >
> &
  Pick<StreamConfig, 'subject_delete_marker_ttl'>

const KIB = 1024
const MIB = 1024 ** 2
const GIB = 1024 ** 3
const SECOND = 1_000_000_000
const UNLIMITED = -1

/** The most that one message may hold, headers included (server setting; past it the server closes the connection). */
export const MAX_PAYLOAD = MIB
/** The most that a log batch may hold (contracts L1). */
export const MAX_BATCH = 256 * KIB
/** Room for the headers of a batch, and for a record that overshoots while a batch fills. */
const MAX_BATCH_MESSAGE = MAX_BATCH + 64 * KIB
/** Parley numbers its own writes; nothing relies on the server's detection of duplicates. */
const DUPLICATE_WINDOW = 120 * SECOND

const base = {
  storage: 'file',
  discard: 'new',
  discard_new_per_subject: false,
  max_age: 0,
  max_msgs: UNLIMITED,
  max_msgs_per_subject: UNLIMITED,
  duplicate_window: DUPLICATE_WINDOW,
  compression: 'none',
  persist_mode: 'default',
  allow_direct: true,
  mirror_direct: false,
  allow_rollup_hdrs: false,
  allow_msg_ttl: false,
  deny_delete: true,
  deny_purge: false,
  sealed: false,
} as const satisfies Partial<StreamSpec>

/** The subjects of stream k: one for each partition p with p mod K = k. */
const subjectsOf = (
  k: number,
  { partitions, streams }: Shape,
  subject: (p: number) => string,
): string[] => {
  const subjects: string[] = []
  for (let p = k; p < partitions; p += streams) subjects.push(subject(p))
  return subjects
}

/** The log: never aged (contracts L0), refuses when it is full. */
export const logStream = (k: number, shape: Shape): StreamSpec => ({
  ...base,
  name: streamOf('LOG', k, shape.streams),
  description: 'Committed batches of the partitions p with p mod K = k',
  subjects: subjectsOf(k, shape, logSubject),
  retention: 'limits',
  max_bytes: Math.floor(shape.limits.logBytes / shape.streams),
  max_msg_size: MAX_BATCH_MESSAGE,
  // Projections, and the passing consumers of replays.
  max_consumers: 1_000,
  num_replicas: shape.replicas,
})

/** Pointer batches; trimmed below the floors of all folds, refuses when it is full. */
export const inboxStream = (k: number, shape: Shape): StreamSpec => ({
  ...base,
  name: streamOf('INBOX', k, shape.streams),
  description: 'Pointers for the users of the partitions p with p mod K = k',
  subjects: subjectsOf(k, shape, inboxSubject),
  retention: 'limits',
  max_bytes: Math.floor(shape.limits.inboxBytes / shape.streams),
  max_msg_size: MAX_BATCH_MESSAGE,
  // One for each partition and epoch (contracts I3); those of older epochs are deleted by the new owner.
  max_consumers: Math.max(1_000, 4 * Math.ceil(shape.partitions / shape.streams)),
  num_replicas: shape.replicas,
})

/** Durable queues of devices: a work queue, each device's share bounded by itself. */
export const queueStream = (k: number, shape: Shape): StreamSpec => ({
  ...base,
  name: streamOf('QUEUE', k, shape.streams),
  description: 'Durable queues of the devices of users in the partitions p with p mod K = k',
  subjects: [`queue.${k}.*.*`],
  retention: 'workqueue',
  // The actor resets a queue at its cap; this stops one that its actor has miscounted from filling the stream.
  max_msgs_per_subject: shape.limits.queueMessages + 64,
  discard_new_per_subject: true,
  max_bytes: Math.floor(shape.limits.queueBytes / shape.streams),
  max_msg_size: 64 * KIB,
  max_consumers: shape.limits.queueConsumers,
  num_replicas: shape.replicas,
})

interface Bucket {
  readonly description: string
  readonly maxBytes: number
  readonly maxValueBytes: number
  /** Entries vanish when they are not put again within this time. */
  readonly ttlSeconds?: number
}

/**
 * The KV buckets. A ttl is far above the 6–9 s for which the loss of a leader holds up puts, and each expiry leaves a
 * marker: without one it would tell no watcher.
 */
export const BUCKETS = {
  cluster: {
    description: 'The shape of the cluster, its members and its projections, who follows the log',
    maxBytes: 64 * MIB,
    maxValueBytes: 256 * KIB,
  },
  owners: {
    description: 'A hint of who owns each partition; the log is the truth',
    maxBytes: 64 * MIB,
    maxValueBytes: 4 * KIB,
  },
  gateways: {
    description: 'Gateways that take connections, with their load',
    maxBytes: 64 * MIB,
    maxValueBytes: 4 * KIB,
    ttlSeconds: 30,
  },
  checkpoints: {
    description: 'Checkpoints and inbox floors of partitions, floors of projections',
    maxBytes: 512 * MIB,
    maxValueBytes: 512 * KIB,
  },
  workers: {
    description: 'Leases of snowflake worker numbers',
    maxBytes: 16 * MIB,
    maxValueBytes: KIB,
    ttlSeconds: 60,
  },
  projectors: {
    description: 'Processes that follow the log',
    maxBytes: 16 * MIB,
    maxValueBytes: KIB,
    ttlSeconds: 60,
  },
  // Apart from the checkpoints: however many records can't be read, checkpoints are still stored.
  aside: {
    description: 'Log records that a projection could not read or store',
    maxBytes: GIB,
    maxValueBytes: 512 * KIB,
  },
} as const satisfies Record<string, Bucket>

export type BucketName = keyof typeof BUCKETS

const MARKER_SECONDS = 60
const HEADER_BYTES = KIB

export const bucketStream = (name: BucketName, shape: Shape): StreamSpec => {
  const { description, maxBytes, maxValueBytes, ttlSeconds }: Bucket = BUCKETS[name]
  return {
    ...base,
    name: `KV_${name}`,
    description,
    subjects: [`$KV.${name}.>`],
    retention: 'limits',
    max_msgs_per_subject: 1,
    max_bytes: maxBytes,
    max_msg_size: maxValueBytes + HEADER_BYTES,
    // Watches are consumers that come and go.
    max_consumers: 1_000,
    num_replicas: shape.replicas,
    allow_rollup_hdrs: true,
    ...(ttlSeconds === undefined
      ? {}
      : {
          max_age: ttlSeconds * SECOND,
          duplicate_window: Math.min(ttlSeconds * SECOND, DUPLICATE_WINDOW),
          allow_msg_ttl: true,
          subject_delete_marker_ttl: MARKER_SECONDS * SECOND,
        }),
  }
}

/** All streams of a cluster of this shape. */
export const streamsOf = (shape: Shape): StreamSpec[] => {
  const specs: StreamSpec[] = []
  for (const name of Object.keys(BUCKETS) as BucketName[]) specs.push(bucketStream(name, shape))
  for (let k = 0; k < shape.streams; k++) {
    specs.push(logStream(k, shape), inboxStream(k, shape), queueStream(k, shape))
  }
  return specs
}
