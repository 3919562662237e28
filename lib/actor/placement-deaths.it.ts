import t from 'tap'
import { systemClock } from '../clock.ts'
import { newIncarnation } from '../ids.ts'
import { createLog } from '../log.ts'
import { eventually } from '../testing/eventually.ts'
import {
  allServed,
  FAST,
  PARTITIONS,
  PATIENT,
  type PlacedHost,
  served,
  placementStage as stage,
  within,
} from '../testing/placement-stage.ts'
import { Membership } from './membership.ts'

t.test('O1 O2 the partitions of a silent host move after one window', async (t) => {
  const { host, members } = await stage(t)
  const [one, two, three] = await Promise.all(['one', 'two', 'three'].map((name) => host(name)))
  await served(one!, two!, three!)
  const before = new Map([two!, three!].map((its) => [its, [...its.holds.keys()]]))
  const { view } = two!.placement
  three!.paused = true
  await eventually('they have moved', () => allServed([one!, two!]), { within: 15_000 })
  t.ok(
    [...before.get(two!)!].every((p) => two!.holds.has(p)),
    'who lives keeps what it has',
  )
  const moved = [...one!.claims, ...two!.claims].filter(({ p }) => before.get(three!)!.includes(p))
  t.equal(moved.length, before.get(three!)!.length)
  t.ok(moved.every((claim) => claim.quiet && claim.view > view))
  t.same(
    (await members()).hosts.map((its) => its.host),
    ['one', 'two'],
  )
})

t.test('O1 a host that does not hear itself suspects nobody', async (t) => {
  const { host } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  one!.deaf = true
  two!.paused = true
  const three = await host('three')
  await eventually('somebody else sees it', () => three.claims.length > 0, { within: 15_000 })
  t.notOk(one!.lines.some((line) => line.includes('placement.suspected')))
  t.ok(three.lines.some((line) => line.includes('placement.suspected')))
})

t.test('O1 a host whose connection comes and goes suspects nobody', async (t) => {
  const { host } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  const shaky = setInterval(() => one!.gap(), FAST.suspicion! / 4)
  t.teardown(() => clearInterval(shaky))
  two!.paused = true
  const three = await host('three')
  const suspected = (its: PlacedHost) => its.lines.some((line) => line.includes('suspected'))
  await eventually('somebody else sees it', () => suspected(three), { within: 15_000 })
  t.notOk(suspected(one!))
})

t.test('O2 who was replaced does not write itself back', async (t) => {
  const { bus, members } = await stage(t)
  const join = async () => {
    const incarnation = newIncarnation()
    const life = new AbortController()
    t.teardown(() => life.abort())
    const membership = new Membership({
      nats: await bus(),
      clock: systemClock,
      identity: { incarnation, host: 'one' },
      exclusive: false,
      suspicionMs: 60_000,
      log: createLog({ level: 'error', format: 'json', destination: { write: () => undefined } }),
      pace: { random: Math.random, failed: () => undefined },
      life: life.signal,
      starting: () => [],
      changed: () => undefined,
    })
    await membership.join()
    return { membership, incarnation }
  }
  const old = await join()
  const fresh = await join()
  await old.membership.drain(within())
  t.ok(old.membership.superseded)
  t.match(await members(), { view: 2, hosts: [{ incarnation: fresh.incarnation }] })
  await old.membership.leave(within())
  t.equal((await members()).hosts.length, 1)
})

t.test('O2 a host that was replaced while it was paused does not come back', async (t) => {
  const { host, members } = await stage(t)
  const old = await host('one')
  await served(old)
  old.paused = true
  const draining = old.placement.drain(within()).catch(() => undefined)
  const fresh = await host('one', { timing: PATIENT })
  old.paused = false
  await draining
  await eventually('the old one knows', () => old.superseded)
  t.match((await members()).hosts, [{ incarnation: fresh.incarnation, draining: false }])
  t.equal((await members()).hosts.length, 1)
})

t.test('O2 a host that was taken for dead joins again', async (t) => {
  const { host, members } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  two!.paused = true
  await eventually('one has all', () => one!.holds.size === PARTITIONS, { within: 15_000 })
  two!.paused = false
  await eventually(
    'both are in',
    async () => (await members()).hosts.map((its) => its.host).join() === 'one,two',
  )
  await one!.give(5, two!.incarnation)
  await eventually('it takes what it is given', () => two!.holds.has(5))
})

t.test('O2 a newer incarnation of the same host claims at once', async (t) => {
  const { host, put } = await stage(t)
  const former = newIncarnation()
  const dead = newIncarnation()
  await put(0, { epoch: 11, incarnation: former, host: 'one', state: 'serving' })
  await put(1, { epoch: 12, incarnation: dead, host: 'gone', state: 'serving' })
  const one = await host('one', { timing: PATIENT })
  await eventually('its own is claimed', () => one.claims.length > 0)
  t.match(one.claims, [{ p: 0, quiet: false }])
  t.ok(one.placement.provenDead(0, 11))
  t.notOk(one.placement.provenDead(0, 13), 'the log has had another owner since')
  t.notOk(one.placement.provenDead(1, 12))
  t.equal(one.claims.length, 1, 'what was of others waits for the window')
})

t.test('O2 who was replaced stops taking part', async (t) => {
  const { host, members } = await stage(t)
  const old = await host('one')
  await served(old)
  const fresh = await host('one', { timing: PATIENT })
  await eventually('the old one knows', () => old.superseded)
  t.match((await members()).hosts, [{ incarnation: fresh.incarnation }])
  t.equal((await members()).hosts.length, 1)
})
