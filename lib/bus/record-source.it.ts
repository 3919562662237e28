import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { type Clock, systemClock } from '../clock.ts'
import { eventually } from '../testing/eventually.ts'
import { startNats } from '../testing/servers/nats.ts'
import { type RecordSource, recordSource, type StreamRecord } from './record-source.ts'

const server = await startNats(t)
const never = new AbortController().signal
const utf8 = new TextEncoder()
const text = new TextDecoder()
const WAIT = 5_000

const CONSUMER = {
  durable_name: 'reader',
  replay_policy: 'instant',
  ack_policy: 'all',
  ack_wait: 60_000_000_000,
  max_ack_pending: 10_000,
  max_deliver: -1,
  max_waiting: 16,
  inactive_threshold: 0,
  num_replicas: 0,
  mem_storage: false,
} as const

type Given = { limits?: { records: number; bytes: number }; clock?: Clock; consumer?: object }

let streams = 0

/** A connection, a stream of its own, and how to append to it. */
const stage = async (t: Test) => {
  const connection: NatsConnection = await connect({
    servers: server.url,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 20,
  })
  t.teardown(() => connection.close())
  const manager: JetStreamManager = await jetstreamManager(connection)
  const stream = `S${++streams}`
  await manager.streams.add({ name: stream, subjects: [`s${streams}.*`] })
  const subject = `s${streams}.0`
  const js = jetstream(connection)
  const append = async (from: number, to: number) => {
    for (let n = from; n <= to; n++) await js.publish(subject, utf8.encode(`record ${n}`))
  }
  const source = (given: Given = {}): RecordSource => {
    const { clock = systemClock, consumer = {}, ...rest } = given
    return recordSource(connection, {
      stream,
      consumer: { ...CONSUMER, ...consumer },
      clock,
      ...rest,
    })
  }
  const info = () => manager.consumers.info(stream, CONSUMER.durable_name)
  return { connection, manager, stream, subject, append, source, info }
}

const read = async (source: RecordSource, count: number): Promise<StreamRecord[]> => {
  const records: StreamRecord[] = []
  while (records.length < count) {
    const more = await source.next(WAIT, never)
    if (more.length === 0) throw new Error(`only ${records.length} of ${count} records came`)
    records.push(...more)
  }
  return records
}
const positions = (records: readonly StreamRecord[]) => records.map(({ position }) => position)
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => from + n)

t.test('records come in order, complete, in bounded portions', async (t) => {
  const { append, source, subject } = await stage(t)
  await append(1, 50)
  const reader = source({ limits: { records: 20, bytes: 1 << 20 } })
  t.same(await reader.open(1), { first: 1, last: 50 })
  const portions: StreamRecord[][] = []
  while (portions.flat().length < 50) portions.push(await reader.next(WAIT, never))
  t.ok(portions.every((portion) => portion.length > 0 && portion.length <= 20))
  const records = portions.flat()
  t.same(positions(records), range(1, 50))
  t.ok(records.every(({ position, data }) => text.decode(data) === `record ${position}`))
  t.ok(records.every((record) => record.subject === subject))
  reader.close()
})

t.test('bytes bound a portion too', async (t) => {
  const { connection, subject, source } = await stage(t)
  const large = new Uint8Array(100_000)
  for (let n = 0; n < 12; n++) await jetstream(connection).publish(subject, large)
  const reader = source({ limits: { records: 100, bytes: 350_000 } })
  await reader.open(1)
  const sizes: number[] = []
  for (let left = 12; left > 0; left -= sizes.at(-1)!) {
    sizes.push((await reader.next(WAIT, never)).length)
  }
  t.ok(Math.max(...sizes) <= 3, `portions of ${sizes}`)
  reader.close()
})

t.test('waiting ends with a record, with the time, or with the signal', async (t) => {
  const { append, source } = await stage(t)
  const reader = source()
  t.same(await reader.open(1), { first: 1, last: 0 }, 'an empty stream')
  t.same(await reader.next(1, never), [])
  const coming = reader.next(60_000, never)
  await append(1, 1)
  t.same(positions(await coming), [1])
  const stop = new AbortController()
  const waiting = reader.next(60_000, stop.signal)
  stop.abort()
  t.same(await waiting, [])
  t.same(await reader.next(60_000, stop.signal), [], 'aborted before')
  await append(2, 3)
  t.same(positions(await read(reader, 2)), [2, 3], 'nothing was lost by it')
  reader.close()
})

t.test('an acknowledged reader goes on with the same consumer', async (t) => {
  const { append, source, info } = await stage(t)
  await append(1, 10)
  const first = source({ limits: { records: 10, bytes: 1 << 20 } })
  await first.open(1)
  await read(first, 10)
  t.equal(await first.pending(), 10, 'handed out is not stored')
  first.ack()
  await eventually('the acknowledgement has arrived', async () => (await first.pending()) === 0)
  const { created } = await info()
  first.close()
  await append(11, 12)
  const second = source()
  await second.open(11)
  t.same(positions(await read(second, 2)), [11, 12])
  t.equal((await info()).created, created)
  second.close()
})

t.test('the position that is asked for wins over what the consumer had', async (t) => {
  const { append, source, info } = await stage(t)
  await append(1, 10)
  const reader = source()
  await reader.open(1)
  await read(reader, 10)
  const { created } = await info()
  await reader.open(4)
  t.same(positions(await read(reader, 7)), range(4, 10), 'back, though all was delivered')
  t.not((await info()).created, created, 'the consumer was made anew')
  reader.ack()
  await reader.open(9)
  t.same(positions(await read(reader, 2)), [9, 10], 'back, though all was acknowledged')
  await append(11, 20)
  await reader.open(18)
  t.same(positions(await read(reader, 3)), [18, 19, 20], 'forward')
  t.equal(await reader.pending(), 3)
  reader.close()
})

t.test('what is stored but was not acknowledged does not count as pending', async (t) => {
  const { append, source } = await stage(t)
  await append(1, 10)
  const reader = source()
  await reader.open(1)
  await read(reader, 10)
  t.equal(await reader.pending(), 10)
  await reader.open(11)
  t.equal(await reader.pending(), 0)
  await append(11, 11)
  t.same(positions(await read(reader, 1)), [11])
  reader.close()
})

t.test('a consumer of another configuration is made anew', async (t) => {
  const { append, source, info } = await stage(t)
  await append(1, 2)
  const old = source({ consumer: { ack_wait: 30_000_000_000 } })
  await old.open(1)
  old.close()
  const reader = source()
  await reader.open(1)
  t.equal((await info()).config.ack_wait, CONSUMER.ack_wait)
  t.same(positions(await read(reader, 2)), [1, 2])
  reader.close()
})

t.test('a second reader on the consumer makes it fail, not skip', async (t) => {
  const { append, source } = await stage(t)
  const reader = source({ limits: { records: 1, bytes: 1 << 20 } })
  const thief = source({ limits: { records: 1, bytes: 1 << 20 } })
  await reader.open(1)
  await thief.open(1) // finds the consumer where it wants it, so both pull from it
  t.same(await thief.next(1, never), [], 'it has asked first')
  await append(1, 1)
  t.same(positions(await thief.next(WAIT, never)), [1])
  await append(2, 20)
  const seen: number[] = []
  await t.rejects(
    (async () => {
      for (;;) seen.push(...positions(await reader.next(WAIT, never)))
    })(),
    { code: 'unavailable', message: /delivery \d+ follows \d+/ },
  )
  t.same(seen, range(1, seen.length), 'what it handed out had no hole')
  await reader.open(seen.length + 1)
  t.same(positions(await read(reader, 20 - seen.length)), range(seen.length + 1, 20))
  reader.close()
  thief.close()
})

t.test('a consumer deleted underneath makes it fail, and opening cures', async (t) => {
  const { append, source, manager, stream } = await stage(t)
  await append(1, 3)
  const reader = source()
  await reader.open(1)
  t.same(positions(await read(reader, 3)), [1, 2, 3])
  await manager.consumers.delete(stream, CONSUMER.durable_name)
  await t.rejects(read(reader, 1), { code: 'unavailable' })
  await t.rejects(reader.next(1, never), { code: 'unavailable' }, 'it stays failed')
  await append(4, 4)
  await reader.open(4)
  t.same(positions(await read(reader, 1)), [4])
  reader.close()
})

t.test('redeliveries are not handed out twice', async (t) => {
  const { append, source, info } = await stage(t)
  await append(1, 3)
  const reader = source({ consumer: { ack_wait: 200_000_000 } })
  await reader.open(1)
  t.same(positions(await read(reader, 3)), [1, 2, 3])
  const again: StreamRecord[] = []
  await eventually('the server has delivered again', async () => {
    again.push(...(await reader.next(50, never)))
    return (await info()).num_redelivered > 0
  })
  await append(4, 4)
  again.push(...(await read(reader, 1)))
  t.same(positions(again), [4])
  reader.close()
})

t.test('a trimmed stream says where it begins; one that is too short is refused', async (t) => {
  const { append, source, manager, stream } = await stage(t)
  await append(1, 10)
  await manager.streams.purge(stream, { seq: 6 })
  const reader = source()
  t.same(await reader.open(3), { first: 6, last: 10 })
  t.same(positions(await read(reader, 5)), range(6, 10))
  await t.rejects(reader.open(12), {
    code: 'unavailable',
    message: `${stream} ends at 10, before position 12: another stream, or a stale replica`,
  })
  t.same(await reader.open(11), { first: 6, last: 10 }, 'right after the end is where readers wait')
  reader.close()
})

t.test('silence of the server fails it', async (t) => {
  const { source } = await stage(t)
  let ahead = 0
  const clock = { now: systemClock.now, monotonic: () => systemClock.monotonic() + ahead }
  const reader = source({ clock })
  await reader.open(1)
  t.same(await reader.next(1, never), [])
  ahead = 60_000
  await t.rejects(reader.next(1, never), { code: 'unavailable', message: /silent/ })
  reader.close()
})

t.test('closed, or without a stream, it says so', async (t) => {
  const { source, connection } = await stage(t)
  const reader = source()
  await t.rejects(reader.next(1, never), { code: 'unavailable', message: /not open/ })
  await reader.open(1)
  reader.close()
  await t.rejects(reader.next(1, never), { code: 'unavailable' })
  const nowhere = recordSource(connection, {
    stream: 'NONE',
    consumer: CONSUMER,
    clock: systemClock,
  })
  await t.rejects(nowhere.open(1), { code: 'unavailable' })
  await t.rejects(nowhere.pending(), { code: 'unavailable' })
})

t.test('kill -9 of the server: opened again it goes on, nothing is skipped', async (t) => {
  const { append, source, connection } = await stage(t)
  await append(1, 100)
  // A clock that stands still hears no silence: the reconnect must be enough.
  const clock = { now: () => 0, monotonic: () => 0 }
  const reader = source({ clock, limits: { records: 7, bytes: 1 << 20 } })
  await reader.open(1)
  const seen = await read(reader, 20)
  await server.kill()
  await server.start()
  await eventually('the connection is back', () => connection.flush().then(() => true))
  await t.rejects(reader.next(WAIT, never), { code: 'unavailable', message: /interrupted/ })
  await eventually('it opens', async () => {
    await reader.open(seen.length + 1)
    return true
  })
  seen.push(...(await read(reader, 100 - seen.length)))
  t.same(positions(seen), range(1, 100))
  reader.close()
})
