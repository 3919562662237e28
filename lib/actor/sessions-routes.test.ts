import t, { type Test } from 'tap'
import { user as behavior, type User } from '../../actors/user/user.ts'
import type { Incarnation } from '../ids.ts'
import { GatewaySink } from '../testing/gateway-sink.ts'
import { inboxMessage, pointerOf, roomId } from '../testing/pointers.ts'
import { ANN, changesOf, H1, STREAM, sessionsStage, V1, V2, W1 } from '../testing/sessions-stage.ts'
import { Fold } from './fold.ts'
import { type Origin, Outbound } from './outbound.ts'
import { BEAT_MS, type DeviceQueues, Sessions } from './sessions.ts'

const start = (t: Test, queues?: DeviceQueues) => sessionsStage(t, behavior, queues)

t.test(
  'R2 routes: unknown while young, leased, told on change for as long as the lease lasts',
  async (t) => {
    const { account, admitted, sessions, told, clock, originOf, command } = await start(t)
    account()
    await admitted(1)
    t.equal(sessions.routes(ANN, H1), undefined, 'there may be sessions that have not said so yet')
    clock.pass(BEAT_MS + 900)
    t.equal(sessions.routes(ANN, H1), undefined)
    clock.pass(200)
    t.match(sessions.routes(ANN, H1), [{ gateway: W1, handle: 1 }])
    await admitted(2, V2)
    t.strictSame(told, [[H1, ANN, [1, 2]]])
    command(originOf(1), { name: 'bye' })
    t.strictSame(told.at(-1), [H1, ANN, [2]])
    command(originOf(1), { name: 'bye' })
    t.equal(told.length, 2, 'nothing changed')
    clock.pass(10_001)
    command(originOf(2), { name: 'bye' })
    t.equal(told.length, 2, 'the lease is over')
  },
)

t.test('R2 the age counts from when the host serves, not from when it began to fold', async (t) => {
  const { state, clock } = await start(t)
  const fold = new Fold<User>(
    {
      behavior,
      state,
      monotonic: () => clock.monotonic(),
      saveFloor: async () => {},
      folded: () => {},
      storeFailed: () => {},
      poisoned: () => {},
    },
    0,
    0,
  )
  const outbound = new Outbound('hSelf' as Incarnation, new GatewaySink().bus, () => {})
  const context = {
    behavior,
    outbound,
    monotonic: () => clock.monotonic(),
    nextLineage: () => 1,
    answer: (_origin: Origin, run: () => void) => run(),
    tell: () => {},
  }
  const sessions = new Sessions<User>(context, fold, STREAM)
  clock.pass(60_000)
  t.equal(sessions.routes(ANN, H1), undefined)
  sessions.pulse(clock.monotonic())
  clock.pass(BEAT_MS)
  t.equal(sessions.routes(ANN, H1), undefined)
  clock.pass(1001)
  t.strictSame(sessions.routes(ANN, H1), [])
})

t.test('R2 a session whose gateway falls silent is dropped, and the hosts are told', async (t) => {
  const { account, admitted, sessions, told, clock } = await start(t)
  account()
  await admitted(1)
  await admitted(2, V2)
  clock.pass(BEAT_MS + 1001)
  sessions.routes(ANN, H1)
  sessions.beat(ANN, W1, 2, V2, 3, 0)
  clock.pass(10_000)
  sessions.routes(ANN, H1)
  clock.pass(4_500)
  sessions.expire(clock.monotonic())
  t.strictSame(told, [[H1, ANN, [2]]])
  sessions.expire(clock.monotonic())
  t.equal(told.length, 1)
})

t.test(
  'R3 a young session gets what is folded, an older one is answered by its beats',
  async (t) => {
    const { account, admitted, pointer, sessions, take, of, clock } = await start(t)
    account()
    await admitted(1)
    pointer('a')
    const [push] = await of('pointers')
    t.match(push, { handle: 1, position: 2 })
    t.match(changesOf(push), { req: 0, full: false, more: false, changes: [{ room: roomId('a') }] })
    clock.pass(20_000)
    pointer('b')
    t.strictSame(take(), [], 'hosts know of it by now: it gets the event itself')
    sessions.beat(ANN, W1, 1, V1, 3, 3)
    t.strictSame(take(), [], 'it has everything')
    pointer('c')
    sessions.beat(ANN, W1, 1, V1, 3, 3)
    t.match(changesOf((await of('pointers'))[0]), {
      changes: [{ room: roomId('c') }],
      cursor: { stream: STREAM, position: 4 },
    })
  },
)

t.test('R3 a push that was lost is made good by the next beat', async (t) => {
  const { account, admitted, pointer, sessions, of, take } = await start(t)
  account()
  await admitted(1)
  pointer('a')
  await of('pointers')
  // The gateway never saw it: its beat says so.
  sessions.beat(ANN, W1, 1, V1, 3, 1)
  t.match(changesOf((await of('pointers'))[0]), { changes: [{ room: roomId('a') }] })
  pointer('b')
  const [both] = await of('pointers')
  t.equal(changesOf(both).changes.length, 2, 'all since what the gateway confirmed')
  sessions.beat(ANN, W1, 1, V1, 3, 3)
  t.strictSame(take(), [])
})

t.test('R3 more than a page is pushed as a page that says how to go on', async (t) => {
  const { account, admitted, fold, sessions, of, clock, originOf, command } = await start(t)
  account()
  await admitted(1)
  clock.pass(60_000)
  for (let i = 1; i <= 300; i++) {
    const data = inboxMessage({ user: ANN, pointer: pointerOf(roomId(i), i) })
    fold.onMessage({ position: fold.position + 1, data })
  }
  sessions.beat(ANN, W1, 1, V1, 3, 1)
  const changes = changesOf((await of('pointers'))[0])
  t.match(changes, { more: true, cursor: { position: 301 } })
  command(originOf(1), { name: 'sync', req: 9, cursor: changes.cursor })
  t.match(changesOf((await of('final'))[0]), { req: 9, more: true })
})

t.test('R2 a session that only its beat tells of is known from then on', async (t) => {
  const { account, pointer, sessions, of, clock } = await start(t)
  account()
  pointer('a')
  clock.pass(BEAT_MS + 1001)
  sessions.beat(ANN, W1, 9, V1, 3, 1)
  t.equal((await of('pointers')).length, 1, 'and brought to where the inbox is')
  t.match(sessions.routes(ANN, H1), [{ gateway: W1, handle: 9 }])
})

t.test(
  'I4 a beat from past the end of the inbox is of another stream: all is pushed',
  async (t) => {
    const { account, admitted, pointer, sessions, of } = await start(t)
    account()
    pointer('a')
    await admitted(1)
    sessions.beat(ANN, W1, 1, V1, 3, 5000)
    t.match(changesOf((await of('pointers'))[0]), {
      cursor: { position: 2 },
      changes: [{ room: roomId('a') }],
    })
  },
)
