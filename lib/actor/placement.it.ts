import t from 'tap'
import { toJson } from '../bus/cluster.ts'
import { systemClock } from '../clock.ts'
import { newIncarnation } from '../ids.ts'
import { createLog } from '../log.ts'
import { BEAT } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import {
  ALL,
  allServed,
  PARTITIONS,
  PATIENT,
  served,
  placementStage as stage,
} from '../testing/placement-stage.ts'
import { Placement } from './placement.ts'

t.test('O2 one host takes all partitions after one window, and starts quietly', async (t) => {
  const { host, members } = await stage(t)
  const one = await host('one')
  await served(one)
  t.same(
    one.claims.map(({ p }) => p).sort((a, b) => a - b),
    ALL,
    'each was claimed once',
  )
  t.ok(one.claims.every(({ quiet }) => quiet))
  t.ok(one.claims.every(({ view }) => view === 1))
  t.match(await members(), { view: 1, hosts: [{ host: 'one', draining: false }] })
})

t.test('O2 nothing is claimed before a window has passed', async (t) => {
  const { host } = await stage(t)
  const patient = await host('patient', { timing: PATIENT })
  const quick = await host('quick')
  await eventually('the quick one has its share', () => quick.holds.size > 0)
  t.equal(patient.claims.length, 0)
})

t.test('O2 L10 an exclusive host claims all at once and need not be quiet', async (t) => {
  const { host, put, members, cluster } = await stage(t)
  const former = { incarnation: newIncarnation(), host: 'elsewhere' }
  await put(3, { epoch: 7, ...former, state: 'serving' })
  await cluster.put('members', toJson({ view: 8, hosts: [{ ...former, draining: false }] }))
  const one = await host('one', { exclusive: true, timing: PATIENT })
  await eventually('everything is claimed', () => one.claims.length === PARTITIONS)
  t.ok(one.claims.every(({ quiet }) => !quiet))
  t.ok(one.placement.provenDead(3, 99))
  t.match(await members(), { view: 9, hosts: [{ incarnation: one.incarnation }] })
  t.equal((await members()).hosts.length, 1)
})

t.test('O2 three hosts share the partitions, each taken once', async (t) => {
  const { host } = await stage(t)
  const hosts = await Promise.all(['one', 'two', 'three'].map((name) => host(name)))
  await served(...hosts)
  t.equal(hosts.flatMap(({ claims }) => claims).length, PARTITIONS)
  t.ok(hosts.every(({ holds }) => holds.size > 0))
})

t.test('O2 owners are sticky: a newcomer takes nothing that is served', async (t) => {
  const { host } = await stage(t)
  const one = await host('one')
  await served(one)
  const two = await host('two')
  await eventually('the newcomer judges', () => two.placement.members.length === 2)
  await one.give(0, two.incarnation)
  await served(one, two)
  t.same([...two.holds.keys()], [0], 'only what was given to it')
})

t.test('O2 a newcomer leaves alone what another one says it is starting', async (t) => {
  const { host } = await stage(t)
  const one = await host('one', { stuck: true })
  await eventually('it has taken all', () => one.claims.length === PARTITIONS)
  const two = await host('two')
  let heard = 0
  one.bus.subscribe(BEAT, () => heard++)
  await eventually('it has said so', () => heard > 4)
  t.equal(two.claims.length, 0)
  one.paused = true
  await eventually('taken when its starter is silent', () => two.claims.length === PARTITIONS)
  const removed = two.lines.findIndex((line) => line.includes('placement.suspected'))
  const claimed = two.lines.findIndex((line) => line.includes('placement.claimed'))
  t.ok(removed >= 0 && claimed > removed, 'not before')
})

t.test('a restart of nats-server changes nothing, and placement goes on', async (t) => {
  const { host, server, log } = await stage(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => host(name)))
  await served(one!, two!)
  const claims = one!.claims.length + two!.claims.length
  await server.kill()
  one!.placement.lost(0, 0)
  two!.placement.lost(0, 0)
  const mine = [...one!.holds.keys()].find((p) => p !== 0)!
  const waiting = one!.placement.serving(mine, log.fence(mine, one!, 9))
  await server.start()
  t.equal(await waiting, true, 'a write waits for the server')
  await eventually('free again: taken by its owner', () =>
    [one!, two!].some((its) => its.claims.filter(({ p }) => p === 0).length === 2),
  )
  t.equal(one!.claims.length + two!.claims.length, claims + 1, 'nobody was suspected meanwhile')
  two!.paused = true
  await eventually('watches work', () => allServed([one!]), { within: 15_000 })
})

t.test('start ends with its signal, when there is no server', async (t) => {
  const { server, host } = await stage(t)
  const one = await host('one')
  await server.kill()
  const late = new Placement({
    nats: one.bus,
    clock: systemClock,
    identity: { incarnation: newIncarnation(), host: 'late' },
    partitions: PARTITIONS,
    exclusive: false,
    log: createLog({ level: 'error', format: 'json', destination: { write: () => undefined } }),
    on: { claim: () => undefined },
  })
  await t.rejects(late.start(AbortSignal.timeout(50)), { name: 'TimeoutError' })
  await t.rejects(late.start(AbortSignal.abort()))
  await one.placement.leave(AbortSignal.timeout(50))
  t.ok(one.lines.some((line) => line.includes('placement.left_unannounced')))
})

t.test('KV entries that can not be read, and beats that are none, are passed over', async (t) => {
  const { host, owners } = await stage(t)
  await owners.put('1', new TextEncoder().encode('{'))
  await owners.put('999', toJson({}))
  const one = await host('one')
  one.bus.publish(BEAT, new TextEncoder().encode('['))
  one.bus.publish(BEAT, toJson({ incarnation: 'a.b' }))
  await served(one)
  t.ok(one.lines.some((line) => line.includes('placement.unreadable')))
})

t.test('changes of owners are told', async (t) => {
  const { host } = await stage(t)
  const one = await host('one', { timing: PATIENT })
  const told: [number, number | undefined][] = []
  const stop = one.placement.onOwner((p, owner) => told.push([p, owner?.epoch]))
  await one.placement.serving(3, 5)
  await eventually('told', () => told.length > 0)
  stop()
  await one.placement.serving(4, 6)
  t.same(told, [[3, 5]])
})
