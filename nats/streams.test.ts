import t from 'tap'
import { newDeviceId, newUserId, partitionOf } from '../lib/ids.ts'
import { inboxSubject, logSubject, queueSubject } from '../lib/subjects.ts'
import { inboxConsumer, projectionConsumer, queueConsumer, queueNumber } from './consumers.ts'
import { shape } from './shape.ts'
import {
  BUCKETS,
  bucketStream,
  inboxStream,
  logStream,
  MAX_BATCH,
  MAX_PAYLOAD,
  queueStream,
  type StreamSpec,
  streamsOf,
} from './streams.ts'

const SHAPES = [
  shape(),
  shape({ replicas: 3 }),
  shape({ partitions: 7, streams: 3, replicas: 3 }),
  shape({ partitions: 1 }),
]

/** Whether a NATS subject with wildcards takes in another. */
const covers = (pattern: string, subject: string): boolean => {
  const want = pattern.split('.')
  const have = subject.split('.')
  return want.length === have.length && want.every((part, i) => part === '*' || part === have[i])
}

t.test('shapes', async (t) => {
  t.match(shape(), { partitions: 64, streams: 1, replicas: 1 })
  t.match(shape({ replicas: 3 }), { partitions: 64, streams: 8, replicas: 3 })
  t.match(shape({ replicas: 3, partitions: 4 }), { streams: 4 }, 'no stream without a partition')
  t.match(shape({ limits: { logBytes: 5 } }).limits, { logBytes: 5, queueMessages: 10_000 })
  for (const partitions of [0, -1, 1.5, Number.NaN, 100_000]) {
    t.throws(() => shape({ partitions }), RangeError, `${partitions} partitions`)
  }
  for (const streams of [0, 65, 2.5]) {
    t.throws(() => shape({ streams }), RangeError, `${streams} streams`)
  }
})

t.test('L0 a log never loses its last sequence to a limit', async (t) => {
  for (const given of SHAPES) {
    for (let k = 0; k < given.streams; k++) {
      const spec = logStream(k, given)
      t.equal(spec.max_age, 0)
      t.equal(spec.discard, 'new')
      t.equal(spec.max_msgs, -1)
      t.equal(spec.max_msgs_per_subject, -1)
      t.equal(spec.retention, 'limits')
      t.equal(spec.deny_delete, true)
      t.equal(spec.deny_purge, false, 'floors trim by purge')
    }
  }
})

t.test('each partition lies in the one stream that streamOf names', async (t) => {
  for (const given of SHAPES) {
    const specs = streamsOf(given)
    for (let p = 0; p < given.partitions; p++) {
      for (const [family, subject] of [
        ['LOG', logSubject(p)],
        ['INBOX', inboxSubject(p)],
      ] as const) {
        const holders = specs.filter((spec) => spec.subjects.includes(subject))
        t.strictSame(
          holders.map((spec) => spec.name),
          [`${family}_${p % given.streams}`],
        )
      }
    }
  }
})

t.test('a device’s queue lies in its user’s stream', async (t) => {
  const given = shape({ replicas: 3 })
  const seen = new Set<number>()
  for (let i = 0; i < 100; i++) {
    const user = newUserId()
    const device = newDeviceId()
    const k = queueNumber(given, user)
    seen.add(k)
    t.equal(k, partitionOf(user, given.partitions) % given.streams)
    const subject = queueSubject(k, user, device)
    const holders = streamsOf(given).filter((spec) =>
      spec.subjects.some((pattern) => covers(pattern, subject)),
    )
    const consumer = queueConsumer(given, user, device)
    t.strictSame(
      holders.map((spec) => spec.name),
      [consumer.stream],
    )
    t.equal(consumer.config.filter_subject, subject)
    t.equal(consumer.config.durable_name, device)
    t.equal(consumer.config.ack_policy, 'explicit')
  }
  t.equal(seen.size, given.streams, 'users spread over all of them')
})

t.test('L1 a full batch with its headers fits its stream and the server', async (t) => {
  const HEADERS = 4096
  for (const spec of [logStream(0, shape()), inboxStream(0, shape())]) {
    t.ok(spec.max_msg_size >= MAX_BATCH + HEADERS)
  }
  for (const spec of streamsOf(shape())) t.ok(spec.max_msg_size <= MAX_PAYLOAD, spec.name)
})

t.test('bytes of a family are shared by its streams, and all of it fits the store', async (t) => {
  const sum = (specs: StreamSpec[]): number => specs.reduce((all, spec) => all + spec.max_bytes, 0)
  for (const given of SHAPES) {
    const ks = Array.from({ length: given.streams }, (_, k) => k)
    const { logBytes, inboxBytes, queueBytes } = given.limits
    for (const [bytes, make] of [
      [logBytes, logStream],
      [inboxBytes, inboxStream],
      [queueBytes, queueStream],
    ] as const) {
      const all = sum(ks.map((k) => make(k, given)))
      t.ok(all <= bytes && all > bytes - given.streams, `${all} of ${bytes}`)
    }
    t.ok(sum(streamsOf(given)) < 64 * 1024 ** 3)
    for (const spec of streamsOf(given)) t.ok(spec.max_bytes > 0, `${spec.name} is bounded`)
  }
})

t.test('I5 a queue keeps until it is acked, and one device can’t fill it for all', async (t) => {
  const spec = queueStream(0, shape({ limits: { queueMessages: 100, queueConsumers: 9 } }))
  t.match(spec, { retention: 'workqueue', discard: 'new', discard_new_per_subject: true })
  t.ok(spec.max_msgs_per_subject > 100, 'the actor’s reset still fits')
  t.equal(spec.max_consumers, 9)
})

t.test('I3 each epoch folds with a consumer of its own', async (t) => {
  const given = shape({ replicas: 3 })
  const one = inboxConsumer(given, 11, 5, 100)
  const other = inboxConsumer(given, 11, 6, 100)
  t.not(one.config.durable_name, other.config.durable_name)
  t.equal(one.config.durable_name, 'inbox_11_5')
  t.match(one, {
    stream: 'INBOX_3',
    config: {
      filter_subject: 'inbox.11',
      ack_policy: 'all',
      deliver_policy: 'by_start_sequence',
      opt_start_seq: 100,
      max_ack_pending: -1,
      num_replicas: 1,
      mem_storage: true,
    },
  })
  t.match(projectionConsumer(given, 3, 'history'), {
    stream: 'LOG_3',
    config: { durable_name: 'projection_history', ack_policy: 'all', max_deliver: -1 },
  })
})

t.test('an entry that expires outlives the loss of a leader, and tells its watchers', async (t) => {
  for (const name of Object.keys(BUCKETS) as (keyof typeof BUCKETS)[]) {
    const spec = bucketStream(name, shape())
    t.equal(spec.max_msgs_per_subject, 1)
    t.ok(spec.max_age === 0 || spec.max_age > 20e9, name)
    t.equal(spec.max_age > 0, (spec.subject_delete_marker_ttl ?? 0) > 0, name)
  }
  t.equal(bucketStream('owners', shape()).max_age, 0)
  t.equal(bucketStream('checkpoints', shape()).max_age, 0)
  t.equal(bucketStream('cluster', shape()).max_age, 0)
})
