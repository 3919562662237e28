/** Several processes on one store and one nats-server: here each is a runner with connections of its own. */
import t, { type Test } from 'tap'
import { passConsumer, projectionConsumer } from '../../nats/consumers.ts'
import type { Bucket } from '../bus/bus.ts'
import { readFloor, trimFloor } from '../bus/projections.ts'
import { connectRecords } from '../bus/record-connection.ts'
import { systemClock } from '../clock.ts'
import { newIncarnation } from '../ids.ts'
import { createLog } from '../log.ts'
import { Metrics } from '../metrics.ts'
import { logSubject, streamOf } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { startBus } from '../testing/servers/bus.ts'
import { askRebuild, holderOf, isRebuilt, projectionStatus, setPaused } from './admin.ts'
import { MemoryProjection } from './memory.fixture.ts'
import { projectionRunner } from './runner.ts'

const STREAMS = 4
const TIMING = { beatMs: 50, windowMs: 1_000 }
const LONG = { within: 20_000 }

/** A bucket of a process that may be stopped like by SIGSTOP: nothing leaves it or comes to it meanwhile. */
const stoppable = (bucket: Bucket) => {
  let running: Promise<void> = Promise.resolve()
  const after =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await running
      return work(...args)
    }
  return {
    stopUntil: (resumed: Promise<void>) => {
      running = resumed
    },
    bucket: {
      get: after((key) => bucket.get(key)),
      put: after((key, value) => bucket.put(key, value)),
      cas: after((key, value, expected) => bucket.cas(key, value, expected)),
      remove: after((key) => bucket.remove(key)),
      keys: after(() => bucket.keys()),
      watch: async (onEntry, onReady) =>
        bucket.watch((entry) => void running.then(() => onEntry(entry)), onReady),
    } satisfies Bucket,
  }
}

const stage = async (t: Test) => {
  const bus = await startBus(t, { partitions: STREAMS, streams: STREAMS })
  const { shape, server } = bus
  const outside = await bus.connect()
  const checkpoints = await outside.bucket('checkpoints')
  const store = new MemoryProjection()
  const appended: string[] = []
  const inbox = outside.inbox(() => undefined)
  t.teardown(async () => inbox.close())

  const append = (count: number) => {
    for (let n = 0; n < count; n++) {
      const p = appended.length % STREAMS
      const row = `row-${appended.length}`
      appended.push(row)
      outside.streams.append(logSubject(p), Buffer.from(row), undefined, `${inbox.prefix}.x`)
    }
  }
  const floorOf = async (k: number) =>
    readFloor((await checkpoints.get(`floor.history.${k}`))?.value)
  const all = () =>
    eventually(
      'every record is stored and published',
      async () => {
        for (let k = 0; k < STREAMS; k++) {
          const { lastSeq } = await outside.streams.state(streamOf('LOG', k, STREAMS))
          if ((await floorOf(k)).position < lastSeq) return false
        }
        return store.rows.length >= appended.length
      },
      LONG,
    )

  const join = async () => {
    const nats = await bus.connect()
    const records = await connectRecords({ servers: [server.url], name: 'projector' })
    t.teardown(() => records.close())
    const projection = new MemoryProjection(store)
    const reach = {
      cluster: stoppable(await nats.bucket('cluster')),
      projectors: stoppable(await nats.bucket('projectors')),
    }
    const lines: Record<string, unknown>[] = []
    const sources = (specOf: typeof projectionConsumer, name: string) =>
      Array.from({ length: STREAMS }, (_, k) => {
        const { stream, config } = specOf(shape, k, name)
        const limits = { records: 5, bytes: 1 << 20 }
        return records.source({ stream, consumer: config, clock: systemClock, limits })
      })
    const member = { id: newIncarnation(), host: 'test', pid: 1 }
    const runner = projectionRunner({
      projection,
      sources: sources(projectionConsumer, 'history'),
      rebuildSources: sources(passConsumer, 'rebuild_history'),
      buckets: {
        cluster: reach.cluster.bucket,
        projectors: reach.projectors.bucket,
        checkpoints: await nats.bucket('checkpoints'),
        aside: await nats.bucket('aside'),
      },
      log: createLog({
        level: 'info',
        format: 'json',
        destination: { write: (line) => lines.push(JSON.parse(line)) },
      }),
      ...{ member, exclusive: false, timing: TIMING, metrics: new Metrics(), clock: systemClock },
    })
    await runner.start(AbortSignal.timeout(10_000))
    let over = false
    const drain = async () => {
      over = true
      await runner.drain(systemClock.monotonic() + 5_000)
    }
    t.teardown(async () => {
      if (!over) await drain().catch(() => undefined)
    })
    return {
      projection,
      id: member.id,
      drain,
      held: () => runner.held.size,
      told: (event: string) => lines.filter((line) => line.event === event),
      /** Ends it as `kill -9` would: its connections go, its leases stay. */
      kill: async () => {
        over = true
        await records.close()
        await nats.close()
        await runner.drain(systemClock.monotonic() + 1_000).catch(() => undefined)
      },
      stopUntil: (resumed: Promise<void>) => {
        reach.cluster.stopUntil(resumed)
        reach.projectors.stopUntil(resumed)
      },
    }
  }
  return { ...bus, outside, store, appended, append, all, join, floorOf }
}

const rowsOf = (rows: readonly string[]) => [...new Set(rows)].sort()

t.test('two processes share the streams; one is killed, the other goes on with all', async (t) => {
  const { store, appended, append, all, join, outside } = await stage(t)
  append(200)
  const a = await join()
  const b = await join()
  await eventually('they share', () => a.held() === 2 && b.held() === 2, LONG)
  append(200)
  await all()
  t.same(rowsOf(store.rows), [...appended].sort())
  t.ok(a.projection.writes.length > 0 && b.projection.writes.length > 0, 'both have worked')
  append(100)
  await a.kill()
  append(100)
  await eventually('the other has all', () => b.held() === STREAMS, LONG)
  await all()
  t.same(rowsOf(store.rows), [...appended].sort(), 'nothing is missing')
  const status = await projectionStatus(outside, 'history', STREAMS)
  t.ok(status.every(({ holder, lag }) => holder === b.id && lag === 0))
})

t.test('who is stopped and wakes up late does no harm', async (t) => {
  const { store, appended, append, all, join, floorOf } = await stage(t)
  const a = await join()
  await eventually('it has all', () => a.held() === STREAMS, LONG)
  append(40)
  await all()
  // Stopped in the middle of writes of every stream.
  const resumed = Promise.withResolvers<void>()
  a.projection.gate = resumed.promise
  const { begun } = a.projection
  append(40)
  await eventually('its writes are in work', () => a.projection.begun >= begun + STREAMS, LONG)
  a.stopUntil(resumed.promise)
  const b = await join()
  await eventually('the other has all', () => b.held() === STREAMS, LONG)
  await all()
  t.same(rowsOf(store.rows), [...appended].sort())
  const before = await Promise.all([0, 1, 2, 3].map(floorOf))
  t.ok(before.every(({ epoch }) => epoch === 2))
  a.projection.gate = undefined
  resumed.resolve()
  await eventually(
    'it sees what it has lost',
    () => a.told('projection.lease_lost').length > 0,
    LONG,
  )
  await eventually('they share', () => a.held() === 2 && b.held() === 2, LONG)
  append(100)
  await all()
  t.same(rowsOf(store.rows), [...appended].sort())
  const after = await Promise.all([0, 1, 2, 3].map(floorOf))
  t.ok(
    after.every(({ position }, k) => position >= before[k]!.position),
    'no floor has fallen',
  )
  t.same(after.map(({ epoch }) => epoch).sort(), [2, 2, 3, 3])
})

t.test('a clean stop hands over at once', async (t) => {
  const { append, all, join, outside } = await stage(t)
  const a = await join()
  await eventually('it has all', () => a.held() === STREAMS, LONG)
  const b = await join()
  await eventually('they share', () => a.held() === 2 && b.held() === 2, LONG)
  append(50)
  await a.drain()
  for (let k = 0; k < STREAMS; k++) {
    t.not(await holderOf(outside, 'history', k), a.id, 'its leases are given back')
  }
  await eventually('the other has all', () => b.held() === STREAMS, LONG)
  t.same(b.told('projection.member_dead'), [], 'not for its silence')
  await all()
})

t.test(
  'L0 commands reach every process; a rebuild keeps the log, and outlives its process',
  async (t) => {
    const { store, appended, append, all, join, outside, floorOf } = await stage(t)
    const a = await join()
    append(120)
    await all()
    const b = await join()
    await eventually('they share', () => a.held() === 2 && b.held() === 2, LONG)
    await setPaused(outside, 'history', true)
    append(20)
    const paused = await projectionStatus(outside, 'history', STREAMS)
    t.ok(paused.every((one) => one.paused && one.holder !== undefined))
    await setPaused(outside, 'history', false)
    await all()

    // Rebuilds hang in writes of both.
    const gate = new Promise<void>(() => undefined)
    a.projection.gate = gate
    b.projection.gate = gate
    store.rows.length = 0
    const number = await askRebuild(outside, 'history')
    await eventually(
      'all have begun',
      async () => {
        const floors = await Promise.all([0, 1, 2, 3].map(floorOf))
        return floors.every(({ rebuild }) => (rebuild?.until ?? 0) > 0)
      },
      LONG,
    )
    for (let k = 0; k < STREAMS; k++) t.equal(trimFloor(await floorOf(k)), 0)
    await Promise.all([a.kill(), b.kill()])
    t.notOk(await isRebuilt(outside, 'history', STREAMS, number))
    await join()
    await eventually('it is done', () => isRebuilt(outside, 'history', STREAMS, number), LONG)
    t.same(rowsOf(store.rows), [...appended].sort())
    for (let k = 0; k < STREAMS; k++) t.ok(trimFloor(await floorOf(k)) > 0)
  },
)
