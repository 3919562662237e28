import t from 'tap'
import type { GatewayId, Incarnation, UserId } from '../ids.ts'
import { GatewaySink } from '../testing/gateway-sink.ts'
import { TestClock } from '../testing/test-clock.ts'
import { type Origin, Outbound } from './outbound.ts'
import { LEASE_MS, Routes, type SessionRoute } from './routes.ts'

const ANN = 'uAnn' as UserId
const BOB = 'uBob' as UserId
const W1 = 'w1' as GatewayId
const W2 = 'w2' as GatewayId
const FRAME = Uint8Array.of(1, 2, 3)

type Answer = readonly SessionRoute[] | undefined

const start = (max?: number) => {
  const clock = new TestClock()
  const sink = new GatewaySink()
  const outbound = new Outbound('hSelf' as Incarnation, sink.bus, () => {})
  const asked: { user: UserId; answer(routes: Answer): Promise<void>; fail(): Promise<void> }[] = []
  const routes = new Routes(
    (user) => {
      const { promise, resolve, reject } = Promise.withResolvers<Answer>()
      const settled = () => new Promise<void>((done) => setImmediate(done))
      asked.push({
        user,
        answer: (list) => {
          resolve(list)
          return settled()
        },
        fail: () => {
          reject(new Error('no answer'))
          return settled()
        },
      })
      return promise
    },
    outbound,
    clock,
    max,
  )
  /** Where a frame for these users goes. */
  const deliver = (users: readonly UserId[], from?: Partial<Origin>): string[] => {
    routes.deliver(FRAME, users, from as Origin | undefined)
    outbound.flush()
    return sink.take().map((sent) => {
      if (sent.kind === 'live')
        return `live ${sent.user}${sent.except === undefined ? '' : ` but ${sent.except}`}`
      return sent.kind === 'deliver' ? `${sent.gateway} ${sent.handle}` : sent.kind
    })
  }
  return { clock, routes, asked, deliver }
}

const two: readonly SessionRoute[] = [
  { gateway: W1, handle: 1 },
  { gateway: W2, handle: 2 },
]

t.test('R2 by subject until the actor has answered, by handle while the lease lasts', async (t) => {
  const { clock, asked, deliver, routes } = start()
  t.strictSame(deliver([ANN]), ['live uAnn'])
  t.strictSame(deliver([ANN]), ['live uAnn'])
  t.equal(asked.length, 1, 'asked once')
  await asked[0]!.answer(two)
  t.strictSame(deliver([ANN]), ['w1 1', 'w2 2'])
  t.strictSame(deliver([ANN], { gateway: W1, handle: 1 }), ['w2 2'], 'not to where it came from')
  t.strictSame(deliver([ANN], { gateway: W2, handle: 1 }), ['w1 1', 'w2 2'])
  t.strictSame(routes.counts, { handles: 5, live: 2 })
  t.equal(asked.length, 1)
  clock.pass(LEASE_MS / 2 + 1)
  deliver([ANN])
  t.equal(asked.length, 2, 'renewed in use')
  clock.pass(LEASE_MS / 2)
  t.strictSame(deliver([ANN]), ['live uAnn'], 'without an answer it ends')
  await asked[1]!.answer([])
  t.strictSame(deliver([ANN]), [], 'nobody is there')
  clock.pass(LEASE_MS / 2 + 1)
  t.strictSame(deliver([ANN]), ['live uAnn'], 'an answer counts from when it was asked for')
})

t.test('R2 an actor that does not know yet: by subject, asked again soon', async (t) => {
  const { clock, asked, deliver } = start()
  deliver([ANN])
  await asked[0]!.answer(undefined)
  t.strictSame(deliver([ANN]), ['live uAnn'])
  t.equal(asked.length, 1, 'not at once')
  clock.pass(1001)
  deliver([ANN])
  t.equal(asked.length, 2)
  await asked[1]!.fail()
  t.strictSame(deliver([ANN]), ['live uAnn'])
  clock.pass(1001)
  deliver([ANN])
  await asked[2]!.answer(two)
  t.strictSame(deliver([ANN]), ['w1 1', 'w2 2'])
})

t.test('R2 changes are pushed; one that overtakes the answer wins over it', async (t) => {
  const { asked, deliver, routes, clock } = start()
  routes.changed(ANN, two)
  t.strictSame(deliver([ANN]), ['live uAnn'], 'nothing was leased')
  routes.changed(ANN, [two[1]!])
  t.strictSame(deliver([ANN]), ['live uAnn'], 'not answered yet')
  await asked[0]!.answer(two)
  t.strictSame(deliver([ANN]), ['w2 2'], 'told after the answer was given, read before it')
  routes.changed(ANN, two)
  t.strictSame(deliver([ANN]), ['w1 1', 'w2 2'])
  clock.pass(LEASE_MS / 2 + 1)
  deliver([ANN])
  routes.changed(ANN, [])
  await asked[1]!.answer(two)
  t.strictSame(deliver([ANN]), [])
})

t.test('R1 a route with a handle that is gone is dropped', async (t) => {
  const { asked, deliver, routes } = start()
  deliver([ANN, BOB])
  await asked[0]!.answer(two)
  await asked[1]!.answer([two[0]!])
  t.strictSame(routes.holders(W2, 2), [ANN])
  t.strictSame(routes.holders(W1, 2), [])
  routes.drop(ANN)
  t.strictSame(deliver([ANN, BOB]), ['live uAnn', 'w1 1'])
  t.equal(asked.length, 3)
})

t.test('one frame for a gateway, whoever of its sessions it is for', async (t) => {
  const { asked, deliver } = start()
  deliver([ANN, BOB])
  await asked[0]!.answer([{ gateway: W1, handle: 1 }])
  await asked[1]!.answer([
    { gateway: W1, handle: 3 },
    { gateway: W2, handle: 4 },
  ])
  t.strictSame(deliver([ANN, BOB]), ['w1 1', 'w1 3', 'w2 4'])
})

t.test('not more routes than a bound: those out of use go first', async (t) => {
  const { asked, deliver, clock } = start(4)
  const users = Array.from({ length: 8 }, (_, i) => `u${i}` as UserId)
  deliver(users.slice(0, 4))
  for (const { answer } of asked) await answer([two[0]!])
  clock.pass(LEASE_MS + 1)
  deliver([users[4]!])
  t.strictSame(deliver([users[4]!]), ['live u4'])
  await asked[4]!.answer([two[1]!])
  t.strictSame(deliver([users[4]!]), ['w2 2'], 'the others were out of use')
  deliver(users.slice(5, 8))
  for (const { answer } of asked.slice(5)) await answer([two[1]!])
  deliver([users[0]!])
  t.strictSame(
    deliver([users[7]!, users[4]!]),
    ['live u4', 'w2 2'],
    'all in use: the oldest ask anew',
  )
})
