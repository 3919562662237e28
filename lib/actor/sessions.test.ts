import t, { type Test } from 'tap'
import { user as behavior } from '../../actors/user/user.ts'
import { CLOSE, ERRORS, ParleyError } from '../errors.ts'
import type { UserId } from '../ids.ts'
import { eventually } from '../testing/eventually.ts'
import { removed, roomId } from '../testing/pointers.ts'
import {
  ANN,
  frameOf,
  H1,
  roomsOf,
  STREAM,
  sessionsStage,
  V1,
  V2,
  W1,
} from '../testing/sessions-stage.ts'
import type { SessionRoute } from './routes.ts'
import { BEAT_MS, type DeviceQueues, SESSIONS_OF_DEVICE } from './sessions.ts'

const start = (t: Test, queues?: DeviceQueues) => sessionsStage(t, behavior, queues)

t.test(
  'I6 a device of the current generation is admitted, with what changed since its cursor',
  async (t) => {
    const { account, pointer, admitted, hello, of, lease, take } = await start(t)
    account()
    pointer('a')
    pointer('b')
    const first = await admitted(1)
    t.equal(first.lineage, 101)
    t.equal(first.queue, false)
    t.strictSame(roomsOf(first.rest), {
      cursor: { stream: STREAM, position: 3 },
      rooms: [roomId('b'), roomId('a')],
    })
    const later = await admitted(2, V2, { stream: STREAM, position: 2 })
    t.equal(later.lineage, 0)
    t.strictSame(roomsOf(later.rest).rooms, [roomId('b')])
    lease.waiting = []
    hello(3)
    t.strictSame(
      take().filter(({ kind }) => kind === 'final'),
      [],
      'L10: nothing without the lease',
    )
    for (const run of lease.waiting) run()
    t.equal((await of('final')).length, 1)
  },
)

t.test('I6 a removed device and an old token are refused', async (t) => {
  const { account, hello, of, lease, take } = await start(t)
  account({ devices: [removed(V2)] })
  hello(1, V2)
  t.match(frameOf((await of('final'))[0]), {
    name: 'error',
    req: 7,
    code: ERRORS.device_removed.number,
  })
  hello(2, V1, null, 2)
  t.match(frameOf((await of('final'))[0]), { code: ERRORS.unauthorized.number })
  lease.waiting = []
  hello(3, V2)
  t.equal(take().length, 0, 'L10: a refusal needs the lease too')
})

t.test('I6 an account that is not known yet waits, then is unavailable', async (t) => {
  const { account, hello, of, take, clock, sessions } = await start(t)
  hello(1)
  await eventually('the rows are read', () => {
    sessions.pulse(clock.monotonic())
    return true
  })
  clock.pass(1400)
  for (let i = 0; i < 20; i++) sessions.pulse(clock.monotonic())
  t.strictSame(take(), [], 'it waits')
  account()
  t.equal((await of('final')).length, 1, 'the record came')
  hello(2, V2, null, 4)
  await eventually('still nothing', () => take().length === 0)
  clock.pass(1400)
  const again = hello(2, V2, null, 4)
  sessions.pulse(clock.monotonic())
  t.strictSame(take(), [])
  clock.pass(200)
  sessions.pulse(clock.monotonic())
  const refused = await of('later')
  t.match(frameOf(refused[0]), { code: ERRORS.unavailable.number, temporary: true })
  const tokens = refused.map(({ token }) => token)
  t.strictSame(tokens, [again], 'the last copy, which does not wait anew')
  clock.pass(5000)
  sessions.pulse(clock.monotonic())
  t.strictSame(take(), [], 'answered once')
})

t.test(
  'I6 live sessions end when a record removes their device or makes their token void',
  async (t) => {
    const { account, admitted, of, take } = await start(t)
    account()
    await admitted(1, V1)
    await admitted(2, V2)
    take()
    account({ devices: [removed(V2)] })
    t.match(await of('kick'), [{ handle: 2, code: CLOSE.device_removed.number }])
    account({ tokenGeneration: 4 })
    const kicks = await of('kick')
    t.ok(kicks.some(({ handle, code }) => handle === 1 && code === CLOSE.unauthorized.number))
  },
)

t.test(
  'I6 a beat of a removed device ends its session: its owner may have changed meanwhile',
  async (t) => {
    const { account, sessions, of } = await start(t)
    account({ devices: [removed(V2)] })
    sessions.beat(ANN, W1, 5, V2, 3, 0)
    t.match(await of('kick'), [{ gateway: W1, handle: 5, code: CLOSE.device_removed.number }])
  },
)

t.test('I6 a block or policy is seen by who asks', async (t) => {
  const { account, command, originOf, of } = await start(t)
  const from = 'uEve' as UserId
  account({ blocked: [from] })
  command(originOf(0), { name: 'mayDm', from })
  t.match(frameOf((await of('final'))[0]), { name: 'error', code: ERRORS.blocked.number })
  account()
  command(originOf(0), { name: 'mayDm', from })
  t.match(frameOf((await of('final'))[0]), { name: 'ok' })
})

t.test('N6 a device may have several sessions, up to a bound', async (t) => {
  const { account, admitted, hello, of, told, clock, sessions } = await start(t)
  account()
  await admitted(1)
  clock.pass(BEAT_MS + 1000)
  t.strictSame(
    sessions.routes(ANN, H1)?.map(({ handle }: SessionRoute) => handle),
    [1],
  )
  for (let handle = 2; handle <= SESSIONS_OF_DEVICE; handle++) hello(handle)
  const all = Array.from({ length: SESSIONS_OF_DEVICE }, (_, at) => at + 1)
  t.strictSame(told.at(-1), [H1, ANN, all])
  hello(99)
  t.match(await of('kick'), [{ handle: 1, code: CLOSE.replaced.number }], 'the oldest goes')
  t.strictSame(told.at(-1), [H1, ANN, [...all.slice(1), 99]])
})

t.test(
  'what can not be read is refused for now; of a partition that is given up, all is moved',
  async (t) => {
    const { account, state, hello, of, fold, command, originOf } = await start(t)
    account()
    state.fail = true
    hello(1)
    t.match(frameOf((await of('later'))[0]), { code: ERRORS.unavailable.number })
    fold.stop()
    hello(1)
    t.equal((await of('moved')).length, 1)
    command(originOf(1), { name: 'routes', incarnation: H1 })
    t.match(
      frameOf((await of('final'))[0]),
      { code: ERRORS.bad_request.number },
      'the host answers those',
    )
  },
)

t.test('I5 a queue is given to admitted devices; a refusal is told', async (t) => {
  const calls: string[] = []
  let failure: unknown
  const on = new Set<string>()
  const queues: DeviceQueues = {
    has: (_user, device) => on.has(device),
    start: async (_user, device, folded) => {
      calls.push(`start ${device} ${folded()}`)
      if (failure !== undefined) throw failure
      on.add(device)
    },
    end: async (_user, device) => void calls.push(`end ${device}`),
  }
  const { account, admitted, command, originOf, of } = await start(t, queues)
  account()
  command(originOf(1), { name: 'queue', req: 5, on: true })
  t.match(
    frameOf((await of('later'))[0]),
    { req: 5, code: ERRORS.unavailable.number },
    'no session',
  )
  await admitted(1)
  command(originOf(1), { name: 'queue', req: 6, on: true })
  t.match(frameOf((await of('final'))[0]), { name: 'ok', req: 6 })
  t.equal((await admitted(1)).queue, true)
  failure = new ParleyError('limit')
  command(originOf(1), { name: 'queue', req: 7, on: true })
  t.match(frameOf((await of('final'))[0]), { req: 7, code: ERRORS.limit.number, temporary: false })
  failure = new Error('anything')
  command(originOf(1), { name: 'queue', req: 8, on: true })
  t.match(frameOf((await of('later'))[0]), { req: 8, code: ERRORS.unavailable.number })
  command(originOf(1), { name: 'queue', req: 9, on: false })
  t.match(frameOf((await of('final'))[0]), { name: 'ok', req: 9 })
  t.strictSame(calls, ['start v1 1', 'start v1 1', 'start v1 1', 'end v1'])
})

t.test('I6 while no lineage can be made, a new device is refused for now', async (t) => {
  const { account, admitted, hello, of, sessions, clock, lineages } = await start(t)
  account()
  await admitted(2)
  lineages.fail = true
  hello(1)
  t.match(frameOf((await of('later'))[0]), {
    name: 'error',
    req: 7,
    code: ERRORS.unavailable.number,
    temporary: true,
  })
  clock.pass(BEAT_MS + 1001)
  t.match(sessions.routes(ANN, H1), [{ handle: 2 }], 'it has no session')
  t.equal((await admitted(2)).lineage, 0, 'who has one already is admitted')
  lineages.fail = false
  t.ok((await admitted(1)).lineage > 0)
})

t.test(
  'I6 a hello that waits for the rows when no lineage can be made is answered too',
  async (t) => {
    const { account, state, hello, of, lineages } = await start(t)
    account()
    const gate = Promise.withResolvers<void>()
    state.gate = () => gate.promise
    lineages.fail = true
    hello(1)
    hello(2)
    gate.resolve()
    const answers = [...(await of('later', 'final'))]
    while (answers.length < 2) answers.push(...(await of('later', 'final')))
    t.strictSame(answers.map(({ kind }) => kind).sort(), ['final', 'later'])
  },
)

t.test('a session that ended before it was admitted does not come to be', async (t) => {
  const { account, state, hello, command, originOf, sessions, clock, fold, of } = await start(t)
  account()
  const gate = Promise.withResolvers<void>()
  state.gate = () => gate.promise
  hello(1)
  command(originOf(1), { name: 'bye' })
  gate.resolve()
  await of('final')
  clock.pass(BEAT_MS + 1001)
  t.strictSame(sessions.routes(ANN, H1), [])
  // Of a generation whose record has not come yet.
  hello(3, V1, null, 4)
  command(originOf(3), { name: 'bye' })
  account({ tokenGeneration: 4 })
  t.strictSame(fold.user(ANN).sessions, [])
})

t.test('L9 a hello that waits for an account is moved when the partition is', async (t) => {
  const { hello, of, sessions, account, admitted, take } = await start(t)
  account()
  await admitted(2)
  const waits = hello(1, V1, null, 4)
  sessions.stop()
  t.strictSame(
    (await of('moved')).map(({ token }) => token),
    [waits],
  )
  sessions.stop()
  t.strictSame(take(), [])
})

t.test('I5 a device that is removed while its queue is made has none', async (t) => {
  const calls: string[] = []
  const going = Promise.withResolvers<void>()
  const queues: DeviceQueues = {
    has: () => false,
    start: async (_user, device) => {
      calls.push(`start ${device}`)
      await going.promise
    },
    end: async (_user, device) => void calls.push(`end ${device}`),
  }
  const { account, admitted, command, originOf, of } = await start(t, queues)
  account()
  await admitted(2, V2)
  command(originOf(2, V2), { name: 'queue', req: 5, on: true })
  account({ devices: [removed(V2)] })
  going.resolve()
  await of('final')
  t.strictSame(calls, ['start v2', 'end v2'])
  command(originOf(2, V2), { name: 'queue', req: 6, on: true })
  t.match(frameOf((await of('later'))[0]), { req: 6, code: ERRORS.unavailable.number })
  t.equal(calls.length, 2, 'nor one that was removed before')
})
