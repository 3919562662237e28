import t, { type Test } from 'tap'
import { queueConsumer } from '../../nats/consumers.ts'
import type { DeviceId, UserId } from '../ids.ts'
import { eventually } from '../testing/eventually.ts'
import { startBus } from '../testing/servers/bus.ts'
import type { Nats, Pull, PulledMessage } from './bus.ts'

const BOT = 'uBot' as UserId
const V1 = 'v1' as DeviceId
const STREAM = 'QUEUE_0'

const open = async (t: Test, limits = {}) => {
  const bus = await startBus(t, { partitions: 2, streams: 1, limits })
  const nats = await bus.connect()
  const { config } = queueConsumer(bus.shape, BOT, V1)
  await nats.streams.addConsumer(STREAM, config)
  const send = (text: string) =>
    nats.streams.append(config.filter_subject, Buffer.from(text), undefined, 'nobody.listens')
  const pull = (from: Nats = nats) => {
    const messages: PulledMessage[] = []
    const ends: string[] = []
    const its: Pull = from.streams.pull(STREAM, V1, {
      onMessage: (message) => messages.push(message),
      onEnd: (why) => ends.push(why),
    })
    t.teardown(() => its.stop())
    const texts = () => messages.map(({ data }) => Buffer.from(data).toString())
    return { its, messages, ends, texts }
  }
  return { ...bus, nats, config, send, pull }
}

t.test(
  'I5 a work queue hands out what is wanted, in order, and forgets what is acknowledged',
  async (t) => {
    const { nats, send, pull } = await open(t)
    const { its, messages, texts, ends } = pull()
    for (const text of ['a', 'b', 'c', 'd']) send(text)
    await nats.flush()
    t.strictSame(texts(), [], 'nothing that was not wanted')
    its.want(2)
    await eventually('two', () => messages.length === 2)
    its.want(1)
    await eventually('one more', () => messages.length === 3)
    t.strictSame(texts(), ['a', 'b', 'c'])
    t.strictSame(
      messages.map(({ seq }) => seq),
      [1, 2, 3],
    )
    t.match(messages[0], { subject: 'queue.0.uBot.v1' })
    t.ok(messages[0]!.time > 1_600_000_000_000)
    messages[0]!.ack()
    messages[2]!.ack()
    await eventually('both are gone', async () => (await nats.streams.state(STREAM)).messages === 2)
    t.match(await nats.streams.consumer(STREAM, V1), { pending: 1, unacked: 1 })
    its.want(5)
    await eventually('the last', () => messages.length === 4)
    send('e')
    await eventually('what comes later', () => messages.length === 5)
    its.stop()
    its.want(1)
    send('f')
    await eventually(
      'it is stored',
      async () => (await nats.streams.consumer(STREAM, V1))?.pending === 1,
    )
    t.equal(messages.length, 5, 'stopped')
    t.strictSame(ends, [])
  },
)

t.test('I5 a consumer that is made anew begins with what was not acknowledged', async (t) => {
  const { nats, send, pull, config } = await open(t)
  const first = pull()
  for (const text of ['a', 'b', 'c']) send(text)
  first.its.want(2)
  await eventually('two', () => first.messages.length === 2)
  first.messages[0]!.ack()
  await eventually('it is gone', async () => (await nats.streams.state(STREAM)).messages === 2)
  first.its.want(1000)
  await nats.streams.deleteConsumer(STREAM, V1)
  await eventually('who pulled is told', () => first.ends.length === 1)
  await nats.streams.addConsumer(STREAM, config)
  const second = pull()
  second.its.want(10)
  await eventually('the rest', () => second.messages.length === 2)
  t.strictSame(second.texts(), ['b', 'c'])
})

t.test('I5 who shares a consumer is told, and takes nothing out of order', async (t) => {
  const { nats, send, pull, config } = await open(t)
  const first = pull()
  for (const text of ['a', 'b', 'c', 'd']) send(text)
  first.its.want(1)
  await eventually('one', () => first.messages.length === 1)
  const { created } = (await nats.streams.consumer(STREAM, V1))!
  // Nothing that it asked for is open now, so it is not told that its consumer goes.
  await nats.streams.deleteConsumer(STREAM, V1)
  await nats.streams.addConsumer(STREAM, config)
  const second = pull()
  second.its.want(2)
  await eventually('two', () => second.messages.length === 2)
  t.strictSame(second.texts(), ['a', 'b'])
  first.its.want(1)
  await eventually('the first is told', () => first.ends.length === 1)
  t.match(first.ends, ['somebody else takes messages of the consumer'])
  t.strictSame(first.texts(), ['a'], 'what it took by mistake it does not hand out')
  second.its.want(1)
  await eventually('so is the second', () => second.ends.length === 1)
  t.strictSame(second.texts(), ['a', 'b'])
  const now = await nats.streams.consumer(STREAM, V1)
  t.not(now?.created, created)
  t.equal(now?.unacked, 4)
})

t.test('I5 an open request counts as waiting', async (t) => {
  const { nats, pull } = await open(t)
  const { its } = pull()
  const waiting = async () => (await nats.streams.consumer(STREAM, V1))?.waiting
  t.equal(await waiting(), 0)
  its.want(1)
  await eventually('it waits', async () => (await waiting()) === 1)
  its.stop()
  await eventually('it does no more', async () => (await waiting()) === 0)
})

t.test('I5 an interruption ends it', async (t) => {
  const { server, pull, nats, connect } = await open(t)
  const other = await connect()
  const { its, ends } = pull(other)
  its.want(1)
  await server.kill()
  await server.start()
  await eventually('it is told', () => ends.length === 1, { within: 15_000 })
  t.match(ends, ['the connection was interrupted'])
  its.want(1)
  await eventually('the other connection is back, too', () => nats.connected, { within: 15_000 })
})

t.test('I5 more consumers than the stream admits are refused', async (t) => {
  const { nats, shape, config } = await open(t, { queueConsumers: 1 })
  await nats.streams.addConsumer(STREAM, config)
  const second = queueConsumer(shape, BOT, 'v2' as DeviceId)
  await t.rejects(nats.streams.addConsumer(STREAM, second.config), { code: 'limit' })
  t.equal(await nats.streams.consumer(STREAM, 'v2'), undefined)
  await t.rejects(nats.streams.addConsumer('NO_SUCH', second.config), { code: 'unavailable' })
})

t.test('purge: of one subject, below a sequence or all', async (t) => {
  const { nats, send, config } = await open(t)
  for (const text of ['a', 'b', 'c']) send(text)
  nats.streams.append('queue.0.uOther.v9', Buffer.from('x'), undefined, 'nobody.listens')
  await eventually('they are stored', async () => (await nats.streams.state(STREAM)).messages === 4)
  await nats.streams.purge(STREAM, 3, config.filter_subject)
  t.equal((await nats.streams.state(STREAM)).messages, 2)
  await nats.streams.purge(STREAM, undefined, config.filter_subject)
  t.equal((await nats.streams.state(STREAM)).messages, 1)
})
