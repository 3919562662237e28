import t from 'tap'
import { fromJson, type Owner } from '../bus/cluster.ts'
import { newIncarnation } from '../ids.ts'
import { eventually } from '../testing/eventually.ts'
import {
  ALL,
  allServed,
  FAST,
  PARTITIONS,
  PATIENT,
  served,
  placementStage as stage,
  within,
} from '../testing/placement-stage.ts'

t.test('O2 drain: what is handed over is taken at once, the rest of the house knows', async (t) => {
  const { host, members } = await stage(t)
  const one = await host('one')
  await served(one)
  const [two, three] = await Promise.all(['two', 'three'].map((name) => host(name)))
  await eventually('all are in', () => one.placement.members.length === 3)
  await one.placement.drain(within())
  t.ok((await members()).hosts.find((its) => its.host === 'one')?.draining)
  t.not(one.placement.successorOf(0), one.incarnation)
  await Promise.all(ALL.map((p) => one.give(p)))
  await eventually('the others serve', () => allServed([two!, three!]))
  t.ok(two!.holds.size > 0 && three!.holds.size > 0)
  await one.placement.leave(within())
  t.same(
    (await members()).hosts.map((its) => its.host),
    ['three', 'two'],
  )
  t.equal(one.holds.size, 0)
})

t.test('O2 a draining host claims nothing, and is nobody’s successor', async (t) => {
  const { host } = await stage(t)
  const one = await host('one')
  await one.placement.drain(within())
  const two = await host('two')
  await eventually('the other one has all', () => two.holds.size === PARTITIONS)
  t.equal(one.claims.length, 0)
  t.equal(two.placement.successorOf(0), undefined)
  await two.give(0)
  t.equal(two.placement.ownerOf(0)?.successor, undefined)
  await eventually('handed to nobody, it is free', () => two.holds.has(0))
  await two.give(1, one.incarnation)
  await eventually('handed to one that drains, too', () => two.holds.has(1))
  t.equal(one.claims.length, 0)
})

t.test('O2 handed to a host that has died, it is taken by another', async (t) => {
  const { host } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  const p = [...one!.holds.keys()][0]!
  two!.paused = true
  await one!.give(p, newIncarnation())
  await eventually('served again', () => one!.holds.has(p), { within: 15_000 })
})

t.test('O2 owners rise by epoch: an older owner can not write over a newer one', async (t) => {
  const { host, owners } = await stage(t)
  const one = await host('one', { timing: PATIENT })
  const two = await host('two', { timing: PATIENT })
  t.equal(await one.placement.serving(0, 10), true)
  t.equal(await two.placement.serving(0, 20), true)
  t.equal(await one.placement.serving(0, 15), false)
  t.equal(await one.placement.handed(0, 10, two.incarnation), false)
  t.match(fromJson<Owner>((await owners.get('0'))!.value!), {
    epoch: 20,
    incarnation: two.incarnation,
    state: 'serving',
  })
  t.equal(await two.placement.handed(0, 20, one.incarnation), true)
  t.equal(await two.placement.serving(0, 20), false, 'what is handed over stays so')
})

t.test('O5 a lost partition is not retaken under the same view', async (t) => {
  const { host } = await stage(t)
  const one = await host('one')
  await served(one)
  const { view } = one.placement
  one.lost(4, view)
  one.lost(5, view - 1)
  await eventually('a newer view than the fencing one', () => one.holds.has(5))
  t.notOk(one.holds.has(4))
  await host('two', { timing: PATIENT })
  await eventually('the view has risen', () => one.holds.has(4))
  t.ok(one.claims.at(-1)!.view > view)
})

t.test('O5 a log with newer views than KV (a restored backup) lifts the view', async (t) => {
  const { host, members } = await stage(t)
  const one = await host('one')
  await served(one)
  one.lost(4, 1000)
  await eventually('it is retaken', () => one.holds.has(4))
  t.ok((await members()).view > 1000)
})

t.test('O5 what is handed back is taken at once', async (t) => {
  const { host } = await stage(t)
  const timing = { ...FAST, hold: 60_000 }
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name, { timing })))
  await served(one!, two!)
  const p = [...two!.holds.keys()][0]!
  one!.placement.lost(p, 1)
  await two!.give(p, one!.incarnation)
  await eventually('taken', () => one!.holds.has(p))
})

t.test('what could not be started is tried again', async (t) => {
  const { host } = await stage(t)
  const one = await host('one')
  await served(one)
  one.holds.delete(2)
  one.placement.failed(2)
  await eventually('again', () => one.holds.has(2))
  t.equal(one.claims.filter(({ p }) => p === 2).length, 2)
})

t.test('O2 rebalancing moves one at a time until nobody has too many', async (t) => {
  const { host } = await stage(t)
  const one = await host('one', { rebalance: true })
  await served(one)
  const two = await host('two', { rebalance: true })
  await eventually(
    'shared',
    () => allServed([one, two]) && one.holds.size <= PARTITIONS / 2 + 1 && two.holds.size > 0,
    { within: 20_000 },
  )
  t.equal(one.holds.size, PARTITIONS / 2 + 1, 'no more than needed')
})
