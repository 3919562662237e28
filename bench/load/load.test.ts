/** The generator against a server that keeps or breaks its promises: what is broken is found, what is not is not. */
import t from 'tap'
import type { SeededUser } from '../../lib/api/seed.ts'
import { newDeviceId, newUserId } from '../../lib/ids.ts'
import { eventually } from '../../lib/testing/eventually.ts'
import type { Rule } from '../../lib/testing/invariants.ts'
import { FakeGateway, type Fault } from './fake-gateway.ts'
import { judge } from './judge.ts'
import { Load } from './load.ts'
import type { Verdict } from './orders.ts'
import type { LoadPlan, Pace, RoomPlan } from './plan.ts'

const user = (): SeededUser => {
  const id = newUserId()
  return { user: id, device: newDeviceId(), handle: id, accessToken: id, resumeToken: id }
}

const DMS: RoomPlan[] = [
  { kind: 'dm', members: [0, 1], senders: [0] },
  { kind: 'dm', members: [2, 3], senders: [2, 3] },
]
const GROUP: RoomPlan[] = [{ kind: 'group', members: [0, 1, 2, 3], senders: [0, 1] }]

type Ends = { teardown(end: () => Promise<void>): void }
type Case = { fault?: Fault; rooms?: RoomPlan[]; pace?: Pace; changes?: Partial<LoadPlan> }

const run = async (
  t: Ends,
  { fault, rooms = DMS, pace, changes }: Case,
): Promise<{ verdict: Verdict; load: Load; settled: boolean }> => {
  const gateway = new FakeGateway(fault)
  await gateway.start()
  const load = new Load({
    address: { host: '127.0.0.1', port: gateway.port },
    users: [user(), user(), user(), user()],
    rooms,
    textBytes: 100,
    sources: ['127.0.0.2', '127.0.0.3'],
    resilient: false,
    verify: 'full',
    seed: 1,
    ...changes,
  })
  t.teardown(async () => {
    await load.end()
    gateway.stop()
  })
  await load.setUp()
  load.openWindow()
  load.go(pace ?? { kind: 'closed', window: 4 })
  await eventually(
    'a hundred messages',
    () => load.counters().acked >= 100 || load.problems.length > 0,
  )
  load.shutWindow()
  const settled = await load.stop(300)
  return { load, settled, verdict: await judge(load, { history: true, settled }) }
}

t.test('a good server: everything acked is delivered, measured and compared', async (t) => {
  for (const rooms of [DMS, GROUP]) {
    const { verdict, load, settled } = await run(t, { rooms })
    t.ok(settled)
    t.match(verdict, { violations: {}, problems: [], refusals: {}, healed: 0, sessionsLost: 0 })
    t.same(verdict.violations, {}, verdict.words.join('\n'))
    const receivers = rooms === DMS ? 1 : 3
    const sent = rooms === DMS ? verdict.acked : verdict.acked - 1
    t.equal(verdict.delivered, sent * receivers, 'deliveries = acks, for each receiver')
    t.equal(verdict.compared, verdict.delivered)
    t.ok(load.dueInWindow > 50)
    t.equal(load.ackUs.count, load.dueInWindow)
    t.equal(load.deliveryUs.count, load.dueInWindow * receivers)
  }
})

t.test('open loop: what was due is done, and the lag is known', async (t) => {
  const { verdict, load, settled } = await run(t, { pace: { kind: 'open', rate: 200 } })
  t.ok(settled)
  t.same(verdict.violations, {})
  t.equal(load.ackUs.count, load.dueInWindow)
  t.ok(load.lagUs.count >= load.dueInWindow)
  t.equal(load.counters().open, 0)
})

const BROKEN: [Fault, Rule[]][] = [
  ['lose', ['hole', 'lost']],
  ['double', ['balance', 'duplicate']],
  ['double-id', ['balance', 'duplicate']],
  ['swap', ['lost']],
  ['misack', ['lost']],
  ['backwards', ['position']],
]

for (const [fault, rules] of BROKEN) {
  for (const rooms of [DMS, GROUP]) {
    t.test(`found out: ${fault} in a ${rooms[0]!.kind}`, async (t) => {
      const { verdict } = await run(t, { fault, rooms })
      for (const rule of rules) {
        t.ok((verdict.violations[rule] ?? 0) > 0, `${rule} in ${verdict.words.join('\n')}`)
      }
    })
  }
}

t.test('found out: a text that is not what was sent', async (t) => {
  const { verdict } = await run(t, { fault: 'garble' })
  t.match(verdict.problems, [/holds another text/])
})

t.test('found out: a session that ends', async (t) => {
  const { verdict } = await run(t, { fault: 'hang-up' })
  t.match(verdict.problems[0], /was disconnected/)
  t.equal(verdict.sessionsLost, 1)
})

t.test(
  'nothing wrong: a device that may, connects again and resends the same command',
  async (t) => {
    const { verdict, settled } = await run(t, { fault: 'hang-up', changes: { resilient: true } })
    t.ok(settled)
    t.same(verdict.violations, {}, verdict.words.join('\n'))
    t.same(verdict.problems, [])
    t.equal(verdict.sessionsLost, 1)
  },
)

t.test('nothing wrong: holes of the live path are filled by fetch', async (t) => {
  const { verdict } = await run(t, { fault: 'drop' })
  t.same(verdict.violations, {}, verdict.words.join('\n'))
  t.ok(verdict.healed > 0)
})

t.test('nothing wrong: repeats are dropped', async (t) => {
  const { verdict } = await run(t, { fault: 'repeat' })
  t.same(verdict.violations, {}, verdict.words.join('\n'))
  t.ok(verdict.repeats > 0)
})

t.test('nothing wrong: refused for now, sent again in order', async (t) => {
  const { verdict, settled } = await run(t, { fault: 'refuse' })
  t.ok(settled)
  t.same(verdict.violations, {}, verdict.words.join('\n'))
  t.ok((verdict.refusals.overloaded ?? 0) > 0)
})

t.test('a server that is not there is an error', async (t) => {
  const plan: LoadPlan = {
    address: { host: '127.0.0.1', port: 9 },
    users: [user(), user()],
    rooms: DMS.slice(0, 1),
    textBytes: 100,
    sources: [],
    resilient: false,
    verify: 'full',
    seed: 1,
  }
  const load = new Load(plan)
  t.teardown(() => load.end())
  await t.rejects(load.setUp(), { message: /ECONNREFUSED/ })
})
