import t from 'tap'
import type { Owner } from '../bus/cluster.ts'
import type { Refusal } from '../errors.ts'
import type { GatewayId } from '../ids.ts'
import { FakeBus, FakeSocket } from '../testing/gateway/fakes.ts'
import { GATEWAY_DEFAULTS, type GatewayConfig } from './config.ts'
import { Hub } from './hub.ts'
import { Outgoing } from './outgoing.ts'
import { NONE } from './pending.ts'
import { Router } from './router.ts'
import type { Session } from './session.ts'

const P = 2
const owner = (incarnation: string, epoch: number, state: Owner['state'] = 'serving'): Owner =>
  ({ incarnation, epoch, state, host: 'x' }) as Owner

const start = (over: Partial<GatewayConfig> = {}) => {
  const bus = new FakeBus()
  const outgoing = new Outgoing(bus, 'wTest' as GatewayId, () => {})
  const gaveUp: { req: number; refusal: Refusal }[] = []
  const config = { ...GATEWAY_DEFAULTS, partitions: 4, ...over }
  const router = new Router(config, outgoing, (_session, _purpose, req, refusal) =>
    gaveUp.push({ req, refusal }),
  )
  const hub = new Hub(100, 1000)
  const open = (): Session => {
    const session = hub.open(new FakeSocket(), 'a', 0)
    session.state = 'open'
    return session
  }
  /** What left since the last look: `n@attempt>host`, n being the one byte of the frame. */
  const left = (): string[] => {
    outgoing.flush()
    return bus
      .take()
      .map((item) =>
        item.kind === 'room' ? `${item.frame[0]}@${item.attempt}>${item.subject.slice(2)}` : '?',
      )
  }
  const submit = (session: Session, n: number, now = 0, p = P): Refusal | undefined =>
    router.submit(session, p, 0, 0, n, Uint8Array.of(n), now)
  const slotOf = (n: number, p = P): number => {
    let slot = router.pending.head(p)
    while (slot !== NONE && router.pending.req[slot] !== n) slot = router.pending.next[slot]!
    return slot
  }
  return { bus, router, open, left, submit, slotOf, gaveUp, outgoing }
}

t.test('O3 the commands of a turn for one host are one envelope', async (t) => {
  const { bus, router, open, submit, outgoing } = start()
  for (let p = 0; p < 4; p++) router.owner(p, owner(p < 3 ? 'hA' : 'hB', 1), 0)
  const session = open()
  for (let n = 1; n <= 8; n++) submit(session, n, 0, n % 4)
  outgoing.flush()
  t.strictSame(bus.envelopes.map(({ subject, items }) => [subject, items.length]).sort(), [
    ['h.hA', 6],
    ['h.hB', 2],
  ])
})

t.test('a partition without an owner holds commands, and lets them go in order', async (t) => {
  const { router, open, submit, left } = start()
  const session = open()
  for (let n = 1; n <= 3; n++) submit(session, n)
  t.strictSame(left(), [])
  router.owner(P, owner('hA', 1), 0)
  t.strictSame(left(), ['1@1>hA', '2@1>hA', '3@1>hA'])
})

t.test('O4 moved: hold, then everything outstanding again in the original order', async (t) => {
  const { router, open, submit, left, slotOf } = start()
  router.owner(P, owner('hA', 1), 0)
  const one = open()
  const two = open()
  submit(one, 1)
  submit(two, 2)
  submit(one, 3)
  submit(two, 4)
  left()
  router.settle(slotOf(2))
  router.moved(slotOf(3), 1, 10)
  submit(one, 5, 11)
  t.strictSame(left(), [], 'held, also for what is new')
  router.moved(slotOf(1), 1, 12)
  router.owner(P, owner('hB', 2), 20)
  t.strictSame(left(), ['1@2>hB', '3@2>hB', '4@2>hB', '5@1>hB'])
  router.moved(slotOf(1), 1, 30)
  submit(two, 6, 31)
  t.strictSame(left(), ['6@1>hB'], 'moved by an earlier attempt changes nothing')
})

t.test('O4 a temporary refusal of an earlier attempt does not count', async (t) => {
  const { router, open, submit, left, slotOf } = start()
  router.owner(P, owner('hA', 1), 0)
  submit(open(), 1)
  left()
  t.ok(router.isCurrent(slotOf(1), 1))
  router.moved(slotOf(1), 1, 10)
  t.notOk(router.isCurrent(slotOf(1), 1), 'while held')
  router.owner(P, owner('hB', 2), 20)
  t.notOk(router.isCurrent(slotOf(1), 1))
  t.ok(router.isCurrent(slotOf(1), 2))
})

t.test('the same owner is tried again after a while, a little longer each time', async (t) => {
  const { router, open, submit, left, slotOf } = start()
  router.owner(P, owner('hA', 1), 0)
  submit(open(), 1)
  left()
  const waits: number[] = []
  let now = 0
  for (let attempt = 1; attempt <= 7; attempt++) {
    router.moved(slotOf(1), attempt, now)
    const from = now
    while (left().length === 0 && now < 20_000) {
      now += 10
      router.tick(now)
    }
    waits.push(now - from)
  }
  t.strictSame(waits, [50, 100, 200, 400, 800, 1000, 1000])
})

t.test('silence: everything again after 2 s, then after longer', async (t) => {
  const { router, open, submit, left, slotOf } = start()
  router.owner(P, owner('hA', 1), 0)
  const session = open()
  submit(session, 1, 0)
  submit(session, 2, 1500)
  left()
  router.tick(2000)
  t.strictSame(left(), [])
  router.tick(2001)
  t.strictSame(left(), ['1@2>hA', '2@2>hA'])
  router.tick(4100)
  t.strictSame(left(), [], 'not so soon again')
  router.tick(6100)
  t.strictSame(left(), ['1@3>hA', '2@3>hA'])
  router.settle(slotOf(1))
  router.tick(8200)
  t.strictSame(left(), ['2@4>hA'], 'an answer restores the patience')
})

t.test('an owner that hands over: held until the successor serves', async (t) => {
  const { router, open, submit, left } = start()
  router.owner(P, owner('hA', 1), 0)
  const session = open()
  submit(session, 1)
  left()
  t.notOk(router.owner(P, owner('hA', 1, 'handed'), 10))
  t.equal(router.envelopeOf(P), undefined)
  submit(session, 2, 11)
  router.tick(5000)
  t.strictSame(left(), [])
  t.ok(router.owner(P, owner('hB', 2), 5001))
  t.strictSame(left(), ['1@2>hB', '2@1>hB'])
})

t.test('O2 an older epoch and a repeated entry change nothing', async (t) => {
  const { router, open, submit, left } = start()
  t.ok(router.owner(P, owner('hB', 5), 0))
  submit(open(), 1)
  left()
  t.notOk(router.owner(P, owner('hA', 4), 1))
  t.notOk(router.owner(P, owner('hB', 5), 2))
  t.notOk(router.owner(P, undefined, 3))
  t.notOk(router.owner(99, owner('hA', 9), 4))
  t.strictSame(left(), [])
  t.ok(router.owner(P, owner('hB', 6), 5), 'the same host with a new epoch serves anew')
  t.strictSame(left(), ['1@2>hB'])
})

t.test('a gap of the bus: everything of every partition again', async (t) => {
  const { bus, router, open, submit, left } = start()
  router.owner(0, owner('hA', 1), 0)
  router.owner(1, owner('hA', 1), 0)
  const session = open()
  bus.connected = false
  submit(session, 1, 0, 0)
  submit(session, 2, 0, 1)
  t.strictSame(left(), [], 'nothing is handed to a connection that is down')
  bus.connected = true
  router.gap(100)
  t.strictSame(left(), ['1@2>hA', '2@2>hA'])
})

t.test('what waits too long ends as unavailable, in time', async (t) => {
  const { router, open, submit, left, gaveUp } = start()
  const session = open()
  submit(session, 1, 0)
  router.tick(10_000)
  t.strictSame(gaveUp, [])
  router.tick(10_001)
  t.match(gaveUp, [{ req: 1, refusal: { refused: 'unavailable', retryAfterMs: 1000 } }])
  router.owner(P, owner('hA', 1), 10_002)
  t.strictSame(left(), [], 'it is gone')

  submit(session, 2, 20_000)
  router.owner(P, owner('hA', 1, 'handed'), 20_001)
  submit(session, 3, 30_000)
  router.tick(40_002)
  t.equal(gaveUp.at(-1)?.req, 3, 'never sent: after 10 s')
  router.tick(50_001)
  t.equal(gaveUp.at(-1)?.req, 2, 'sent, so perhaps done: after 30 s')
  t.equal(router.pending.count, 0)
  t.equal(session.inFlight, 0)
})

t.test('bounds: of a session, of a partition, of all bytes', async (t) => {
  const { router, open, submit } = start({ sessionCommands: 3, partitionCommands: 5 })
  const one = open()
  for (let n = 1; n <= 3; n++) t.equal(submit(one, n), undefined)
  t.match(submit(one, 4), { refused: 'overloaded' })
  const two = open()
  t.equal(submit(two, 5), undefined)
  t.equal(submit(two, 6), undefined)
  t.match(submit(two, 7), { refused: 'unavailable' })
  t.equal(submit(two, 8, 0, 0), undefined, 'another partition has room')
  t.equal(router.pending.count, 6)
  const small = start({ commandBytes: 2 })
  t.equal(small.submit(small.open(), 1), undefined)
  t.equal(small.submit(small.open(), 2), undefined)
  t.match(small.submit(small.open(), 3), { refused: 'overloaded' })
})

t.test('commands of a session that is gone are not sent again', async (t) => {
  const { router, open, submit, left } = start()
  router.owner(P, owner('hA', 1), 0)
  const gone = open()
  const stays = open()
  submit(gone, 1)
  submit(stays, 2)
  left()
  gone.state = 'closed'
  router.owner(P, owner('hB', 2), 1)
  t.strictSame(left(), ['2@2>hB'])
  t.equal(router.pending.count, 1)
})
