import t, { type Test } from 'tap'
import { user as behavior, type User } from '../../actors/user/user.ts'
import { CLOSE, ERRORS, ParleyError } from '../errors.ts'
import type { DeviceId, GatewayId, Incarnation, UserId } from '../ids.ts'
import { readFrame, readValue } from '../protocol/codec.ts'
import type { Wire } from '../protocol/fields.ts'
import type { Cursor, Pointer } from '../protocol/frames.ts'
import { POINTER } from '../protocol/pointer.ts'
import { Reader } from '../protocol/reader.ts'
import { decodeAdmitted, type UserCommand } from '../protocol/user-commands.ts'
import { eventually } from '../testing/eventually.ts'
import { GatewaySink, type Sent } from '../testing/gateway-sink.ts'
import { accountOf, inboxMessage, pointerOf, removed, roomId } from '../testing/pointers.ts'
import { tempState } from '../testing/temp-state.ts'
import { TestClock } from '../testing/test-clock.ts'
import { Fold } from './fold.ts'
import { type Origin, Outbound } from './outbound.ts'
import type { SessionRoute } from './routes.ts'
import { BEAT_MS, type DeviceQueues, SESSIONS_OF_DEVICE, Sessions } from './sessions.ts'

const ANN = 'uAnn' as UserId
const V1 = 'v1' as DeviceId
const V2 = 'v2' as DeviceId
const W1 = 'w1' as GatewayId
const H1 = 'h1' as Incarnation
const STREAM = 's1'

type Kind<K extends Sent['kind']> = Sent extends infer S
  ? S extends { readonly kind: infer Kinds }
    ? K extends Kinds
      ? S & { readonly kind: K }
      : never
    : never
  : never
type Account = Parameters<typeof accountOf>[2]

const start = async (t: Test, queues?: DeviceQueues) => {
  const state = await tempState(t)
  const clock = new TestClock()
  const sink = new GatewaySink()
  const outbound = new Outbound('hSelf' as Incarnation, sink.bus, () => {})
  const told: [Incarnation, UserId, number[]][] = []
  /** Answers wait for the lease in here while it is an array. */
  const lease = { waiting: undefined as (() => void)[] | undefined }
  let lineages = 100
  const fold: Fold<User> = new Fold<User>(
    {
      behavior,
      state,
      monotonic: () => clock.monotonic(),
      saveFloor: async () => {},
      folded: (users) => sessions.folded(users),
      storeFailed: () => {},
      poisoned: () => {},
    },
    0,
    0,
  )
  const sessions: Sessions<User> = new Sessions<User>(
    {
      behavior,
      outbound,
      monotonic: () => clock.monotonic(),
      nextLineage: () => ++lineages,
      answer: (_origin, run) => {
        if (lease.waiting === undefined) run()
        else lease.waiting.push(run)
      },
      tell: (host, user, routes) =>
        void told.push([host, user, routes.map(({ handle }) => handle)]),
    },
    fold,
    STREAM,
    queues,
  )
  let token = 0
  let version = 0
  const account = (more: Account = {}) => {
    const data = inboxMessage({
      account: accountOf(ANN, ++version, { tokenGeneration: 3, ...more }),
    })
    fold.onMessage({ position: fold.position + 1, data })
  }
  const pointer = (room: string | number, more: Partial<Pointer> = {}) => {
    const data = inboxMessage({ user: ANN, pointer: pointerOf(roomId(room), ++version, more) })
    fold.onMessage({ position: fold.position + 1, data })
  }
  const originOf = (handle: number, device = V1, gateway = W1): Origin => ({
    outlet: outbound.outlet(gateway),
    gateway,
    token: ++token,
    attempt: 1,
    handle,
    user: ANN,
    device,
  })
  const command = (origin: Origin, given: UserCommand) => {
    sessions.execute(origin, given)
    return origin.token
  }
  const hello = (handle: number, device = V1, cursor: Cursor | null = null, generation = 3) =>
    command(originOf(handle, device), {
      name: 'hello',
      req: 7,
      generation,
      cursor,
      wantsLineage: handle === 1,
    })
  const take = (): Sent[] => {
    outbound.flush()
    return sink.take()
  }
  /** Waits until something of these kinds came; the rest is dropped. */
  const of = <K extends Sent['kind']>(kind: K) =>
    eventually(kind, () => {
      const got = take().filter((sent): sent is Kind<K> => sent.kind === kind)
      return got.length > 0 && got
    })
  const admitted = async (handle: number, device = V1, cursor: Cursor | null = null) => {
    hello(handle, device, cursor)
    const [answer] = await of('final')
    if (answer === undefined) throw new Error('no answer')
    return decodeAdmitted(answer.frame)
  }
  sessions.pulse(clock.monotonic())
  return {
    state,
    clock,
    fold,
    sessions,
    told,
    lease,
    account,
    pointer,
    originOf,
    command,
    hello,
    take,
    of,
    admitted,
  }
}

const frameOf = (sent: { readonly frame: Uint8Array } | undefined) =>
  readFrame(new Reader(sent!.frame))
const changesOf = (sent: { readonly frame: Uint8Array } | undefined) => {
  const frame = frameOf(sent)
  if (frame.name !== 'changes') throw new Error(`${frame.name} is no changes`)
  return frame
}
const roomsOf = (rest: Uint8Array): { cursor: Cursor; rooms: string[] } => {
  const reader = new Reader(rest)
  reader.array()
  const cursor = { stream: reader.str(64), position: reader.uint() }
  reader.bool()
  reader.bool()
  const rooms = Array.from(
    { length: reader.array() },
    () => (readValue(reader, POINTER as unknown as Wire) as Pointer).room,
  )
  return { cursor, rooms }
}

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
