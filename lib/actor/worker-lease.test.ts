import t from 'tap'
import type { Bucket, Entry } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import { ParleyError } from '../errors.ts'
import { timeOfId, WORKERS } from '../snowflake.ts'
import { TestClock } from '../testing/test-clock.ts'
import { WorkerLease } from './worker-lease.ts'

const MINUTE = 60_000
type Held = { holder: string; time: number; used: number }

/** KV `workers` in memory. */
const bucketOf = () => {
  const entries = new Map<string, Entry>()
  let revision = 0
  const on = { down: false, writes: 0, beforeCas: () => {} }
  const check = () => {
    if (on.down) throw new ParleyError('unavailable')
  }
  const put = (key: string, value: Uint8Array) => {
    entries.set(key, { key, value, revision: ++revision })
    on.writes++
    return revision
  }
  const bucket = {
    get: async (key: string) => {
      check()
      return entries.get(key)
    },
    cas: async (key: string, value: Uint8Array, expected: number) => {
      on.beforeCas()
      check()
      return (entries.get(key)?.revision ?? 0) === expected ? put(key, value) : undefined
    },
  } as Partial<Bucket> as Bucket
  return {
    bucket,
    on,
    put,
    held: () =>
      [...entries].flatMap(([key, { value }]) =>
        value === undefined ? [] : [{ worker: Number(key), ...fromJson<Held>(value) }],
      ),
  }
}

const stage = async () => {
  const kv = bucketOf()
  const clock = new TestClock()
  const open = async (holder: string) => {
    const lease = new WorkerLease(kv.bucket, holder, clock)
    await lease.start()
    t.teardown(() => lease.stop())
    return lease
  }
  return { ...kv, clock, open }
}
const unavailable = { name: 'ParleyError', code: 'unavailable', canRetry: true }

t.test('each process has a number of its own', async (t) => {
  const its = await stage()
  const leases = await Promise.all(Array.from({ length: 40 }, (_, i) => its.open(`h${i}`)))
  t.equal(new Set(leases.map(({ source }) => source.worker)).size, 40)
  t.equal(its.held().length, 40)
})

t.test('of two that reach for the same number one gets another', async (t) => {
  const its = await stage()
  its.on.beforeCas = () => {
    its.on.beforeCas = () => {}
    for (let worker = 0; worker < WORKERS; worker += 2) {
      its.put(String(worker), toJson({ holder: 'x', time: its.clock.now(), used: 1 }))
    }
  }
  const { source } = await its.open('h1')
  t.equal(its.held().filter(({ holder }) => holder === 'h1').length, 1)
  t.equal(its.held().find(({ holder }) => holder === 'h1')?.worker, source.worker)
})

t.test('when all are taken it says so', async (t) => {
  const its = await stage()
  for (let worker = 0; worker < WORKERS; worker++) {
    its.put(String(worker), toJson({ holder: 'x', time: its.clock.now(), used: 1 }))
  }
  await t.rejects(its.open('h1'), unavailable)
  its.clock.pass(90_000)
  t.ok(await its.open('h1'), 'who did not renew for 90 s has lost it')
})

t.test('a number that changes hands gives only later ids', async (t) => {
  const its = await stage()
  for (let worker = 0; worker < WORKERS; worker++) {
    const used = its.clock.now() + 5000
    its.put(String(worker), toJson({ holder: '', time: 0, used }))
  }
  const lease = await its.open('h1')
  t.ok(timeOfId(lease.source.next(its.clock.now())) > its.clock.now() + 5000)
})

t.test('a stopped process leaves its number free, with what it has used', async (t) => {
  const its = await stage()
  const lease = await its.open('h1')
  const { worker } = lease.source
  for (let i = 0; i < 50_000; i++) lease.source.next(its.clock.now())
  const { last } = lease.source
  t.ok(last > its.clock.now(), 'a burst runs ahead of the clock')
  await lease.stop()
  t.match(its.held(), [{ worker, holder: '', time: 0, used: last }])
  t.throws(() => lease.source, unavailable)
  await lease.stop()
  await lease.renew()
  t.throws(() => lease.source, unavailable, 'for good')
})

t.test('it is renewed; without an answer it gives no ids after a minute', async (t) => {
  const its = await stage()
  const lease = await its.open('h1')
  its.clock.pass(MINUTE)
  await lease.renew()
  t.match(its.held(), [{ holder: 'h1', time: its.clock.now(), used: lease.source.last }])
  its.on.down = true
  its.clock.pass(MINUTE - 10)
  await lease.renew()
  t.ok(lease.source)
  its.clock.pass(11)
  t.throws(() => lease.source, unavailable)
  its.on.down = false
  await lease.renew()
  t.ok(lease.source, 'it was nobody else’s meanwhile')
})

t.test('a minute counts from when the renewal was asked for', async (t) => {
  const its = await stage()
  const lease = await its.open('h1')
  its.on.beforeCas = () => its.clock.pass(MINUTE)
  await lease.renew()
  its.clock.pass(1)
  t.throws(() => lease.source, unavailable)
})

t.test('a renewal that was stored without an answer is its own', async (t) => {
  const its = await stage()
  const lease = await its.open('h1')
  const [{ worker } = { worker: 0 }] = its.held()
  its.put(String(worker), toJson({ holder: 'h1', time: its.clock.now(), used: 1 }))
  await lease.renew()
  await lease.renew()
  t.equal(its.held().length, 1)
  t.equal(lease.source.worker, worker)
})

t.test('a number that another has taken is given up at once', async (t) => {
  const its = await stage()
  const lease = await its.open('h1')
  const { worker } = lease.source
  its.put(String(worker), toJson({ holder: 'h2', time: its.clock.now(), used: 1 }))
  its.on.beforeCas = () => {
    its.on.beforeCas = () => {
      its.on.down = true
    }
  }
  await lease.renew()
  t.throws(() => lease.source, unavailable, 'no other was to be had')
  its.on.down = false
  its.on.beforeCas = () => {}
  await lease.renew()
  t.not(lease.source.worker, worker, 'the next round takes another')
  t.same(its.held().find((its) => its.worker === worker)?.holder, 'h2')
  await lease.renew()
  t.equal(its.held().filter(({ holder }) => holder === 'h1').length, 1)
})
