import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { newDeviceId, newUserId } from '../lib/ids.ts'
import { logSubject } from '../lib/subjects.ts'
import { eventually } from '../lib/testing/eventually.ts'
import { startNats } from '../lib/testing/servers/nats.ts'
import { inboxConsumer, projectionConsumer, queueConsumer } from './consumers.ts'
import { IncompatibleError, provision, readShape } from './provision.ts'
import { shape } from './shape.ts'
import { bucketStream, logStream, type StreamSpec, streamsOf } from './streams.ts'

const SMALL = shape({ partitions: 6, streams: 2 })

/** What it means when a server does not mention a field. */
const LEFT_OUT: Partial<StreamSpec> = { discard_new_per_subject: false, persist_mode: 'default' }

const open = async (t: Test): Promise<{ nc: NatsConnection; jsm: JetStreamManager }> => {
  const nats = await startNats(t)
  const nc = await connect({ servers: nats.url })
  // Teardowns run last in, first out.
  t.teardown(() => nc.close())
  return { nc, jsm: await jetstreamManager(nc) }
}

t.test('the server holds every limit as declared', async (t) => {
  const { nc, jsm } = await open(t)
  const { created, changed } = await provision(nc, SMALL)
  const specs = streamsOf(SMALL)
  t.strictSame([...created].sort(), specs.map((spec) => spec.name).sort())
  t.strictSame(changed, [])
  for (const spec of specs) {
    const { config } = await jsm.streams.info(spec.name)
    for (const field of Object.keys(spec) as (keyof StreamSpec)[]) {
      t.strictSame(config[field] ?? LEFT_OUT[field], spec[field], `${spec.name} ${field}`)
    }
  }
  t.strictSame(await readShape(nc), { wire: SMALL.wire, partitions: 6, streams: 2 })
})

t.test('a second time, and by two at once, nothing changes', async (t) => {
  const { nc } = await open(t)
  const both = await Promise.all([provision(nc, SMALL), provision(nc, SMALL)])
  t.strictSame(
    both.flatMap(({ changed }) => changed),
    [],
  )
  t.strictSame(await provision(nc, SMALL), { created: [], changed: [] })
})

t.test('limits may change, are reported, and lose nothing', async (t) => {
  const { nc, jsm } = await open(t)
  await provision(nc, SMALL)
  await jsm.jetstream().publish(logSubject(0), 'kept')
  const { changed } = await provision(nc, { ...SMALL, limits: { ...SMALL.limits, logBytes: 2e9 } })
  t.strictSame(
    changed.map(({ stream, field, wanted }) => [stream, field, wanted]),
    [
      ['LOG_0', 'max_bytes', 1e9],
      ['LOG_1', 'max_bytes', 1e9],
    ],
  )
  const { config, state } = await jsm.streams.info('LOG_0')
  t.equal(config.max_bytes, 1e9)
  t.equal(state.messages, 1)
})

t.test('what somebody else changed is put right', async (t) => {
  const { nc, jsm } = await open(t)
  await provision(nc, SMALL)
  await jsm.streams.update('LOG_1', { max_age: 3_600e9, discard: 'old' })
  const { changed } = await provision(nc, SMALL)
  t.strictSame(changed.map(({ field }) => field).sort(), ['discard', 'max_age'])
  t.match((await jsm.streams.info('LOG_1')).config, { max_age: 0, discard: 'new' })
})

t.test('another shape is refused before anything is touched', async (t) => {
  const { nc, jsm } = await open(t)
  await provision(nc, SMALL)
  const names = async (): Promise<string[]> =>
    (await jsm.streams.list().next()).map(({ config }) => config.name).sort()
  const before = await names()
  const cases = [
    [{ ...SMALL, partitions: 12 }, /partitions \(P\): the cluster has 6, this process 12/],
    [{ ...SMALL, streams: 3 }, /\(K\): the cluster has 2, this process 3/],
    [{ ...SMALL, wire: 2 }, /wire version: the cluster has 1, this process 2/],
  ] as const
  for (const [other, message] of cases) {
    const error = await provision(nc, {
      ...other,
      limits: { ...SMALL.limits, logBytes: 1e6 },
    }).then(
      () => undefined,
      (error: unknown) => error,
    )
    t.type(error, IncompatibleError)
    t.match(error, { message })
    t.match(error, { message: /Start with the numbers of the cluster/ })
  }
  t.strictSame(await names(), before)
  t.equal((await jsm.streams.info('LOG_0')).config.max_bytes, logStream(0, SMALL).max_bytes)
})

t.test('a stream of another kind is refused', async (t) => {
  for (const [spoilt, message] of [
    [{ storage: 'memory', max_bytes: 1e6 }, /LOG_1[\s\S]*storage is "memory", not "file"/],
    [{ retention: 'interest' }, /LOG_1[\s\S]*retention is "interest", not "limits"/],
    [
      { persist_mode: 'async', num_replicas: 1 },
      /LOG_1[\s\S]*persist_mode is "async", not "default"/,
    ],
    [{ subjects: ['log.1'] }, /LOG_1[\s\S]*subjects is \["log\.1"\], not \["log\.1","log\.3"/],
  ] as const) {
    const { nc, jsm } = await open(t)
    await jsm.streams.add({ ...logStream(1, SMALL), ...spoilt, subjects: ['log.1'] })
    await t.rejects(provision(nc, SMALL), { name: 'IncompatibleError', message })
  }
})

t.test('a shape that can’t be read is not overwritten', async (t) => {
  const { nc } = await open(t)
  await provision(nc, SMALL)
  const kv = await new Kvm(nc).open('cluster')
  await kv.put('shape', '{"partitions":"six"}')
  await t.rejects(provision(nc, SMALL), { message: /a shape that can't be read/ })
  await t.rejects(readShape(nc), { message: /a shape that can't be read/ })
})

t.test('a process that finds no cluster, or one of another version, says so', async (t) => {
  const { nc } = await open(t)
  await t.rejects(readShape(nc), { message: /No Parley cluster was made .* start a host first/ })
  await provision(nc, { ...SMALL, wire: 99 })
  await t.rejects(readShape(nc), { message: /the cluster has 99, this process 1/ })
})

t.test('a full log refuses, and keeps what it has', async (t) => {
  const { nc, jsm } = await open(t)
  await provision(nc, shape({ partitions: 1, limits: { logBytes: 1e6 } }))
  const batch = new Uint8Array(300_000)
  const js = jsm.jetstream()
  for (let i = 0; i < 3; i++) await js.publish(logSubject(0), batch)
  await t.rejects(js.publish(logSubject(0), batch), { message: /maximum bytes exceeded/ })
  t.match((await jsm.streams.info('LOG_0')).state, { messages: 3, first_seq: 1 })
})

t.test('the server takes each consumer as declared', async (t) => {
  const { nc, jsm } = await open(t)
  await provision(nc, SMALL)
  const specs = [
    inboxConsumer(SMALL, 3, 1, 1),
    inboxConsumer(SMALL, 3, 2, 7),
    projectionConsumer(SMALL, 1, 'history'),
    queueConsumer(SMALL, newUserId(), newDeviceId()),
    queueConsumer(SMALL, newUserId(), newDeviceId()),
  ]
  for (const { stream, config } of specs) {
    await jsm.consumers.add(stream, config)
    const is = (await jsm.consumers.info(stream, config.durable_name)).config
    for (const [field, value] of Object.entries(config)) {
      // A server leaves out what is 0 or false.
      const found = is[field as keyof typeof config]
      t.strictSame(found ?? (value === false ? false : 0), value, `${config.durable_name} ${field}`)
    }
  }
})

t.test('I5 a full queue refuses for its own device only', async (t) => {
  const { nc, jsm } = await open(t)
  await provision(nc, shape({ partitions: 1, limits: { queueMessages: 1 } }))
  const js = jsm.jetstream()
  for (let i = 0; i < 65; i++) await js.publish('queue.0.u1.v1', 'pointer')
  await t.rejects(js.publish('queue.0.u1.v1', 'pointer'), { message: /per subject/ })
  await js.publish('queue.0.u1.v2', 'pointer')
  await jsm.streams.purge('QUEUE_0', { filter: 'queue.0.u1.v1' })
  await js.publish('queue.0.u1.v1', 'reset')
})

t.test('an expired entry tells its watchers', async (t) => {
  const { nc, jsm } = await open(t)
  await provision(nc, SMALL)
  // As declared, but quicker.
  const quick = { ...bucketStream('gateways', SMALL), max_age: 1e9, duplicate_window: 1e9 }
  await jsm.streams.update(quick.name, quick)
  const kv = await new Kvm(nc).open('gateways')
  const seen: string[] = []
  const watch = await kv.watch({ key: 'w1' })
  void (async () => {
    for await (const entry of watch) seen.push(entry.operation)
  })()
  await kv.put('w1', 'here')
  await eventually('the watcher hears of the expiry', () => seen.length === 2)
  t.equal(seen[0], 'PUT')
  t.not(seen[1], 'PUT')
  t.equal((await kv.get('w1'))?.operation === 'PUT', false)
  watch.stop()
})
