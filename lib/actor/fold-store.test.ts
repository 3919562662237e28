import t from 'tap'
import { user as behavior } from '../../actors/user/user.ts'
import type { DeviceId, UserId } from '../ids.ts'
import { type QueueEntry, readQueueMessage } from '../protocol/queue-entries.ts'
import { eventually } from '../testing/eventually.ts'
import { makeFold as makeFoldOf, one, type Store, storedVersions } from '../testing/fold-stage.ts'
import { inboxMessage, pointerOf, roomId } from '../testing/pointers.ts'
import { tempState } from '../testing/temp-state.ts'
import type { QueuePort } from './queue-device.ts'
import { Queues } from './queues.ts'

const ANN = 'uAnn' as UserId
const BOB = 'uBob' as UserId

const makeFold = (state: Store, given: Parameters<typeof makeFoldOf>[2] = {}) =>
  makeFoldOf(behavior, state, given)

t.test(
  'I3 the floor stays below what is not stored, and the rows are there before it',
  async (t) => {
    const state = await tempState(t)
    const { fold, floors, clock, failures } = makeFold(state)
    clock.pass(60_000)
    fold.onMessage(one(5, ANN, pointerOf(roomId('a'), 1)))
    state.fail = true
    await fold.save()
    t.strictSame([floors, failures.length, fold.drained], [[], 1, false])
    fold.onMessage(one(6, BOB, pointerOf(roomId('a'), 1)))
    state.fail = false
    let storedAtFloor: unknown
    state.gate = async () => {
      storedAtFloor = floors.length
      // Arrives while the rows are being written: it is not covered by this save.
      fold.onMessage(one(7, BOB, pointerOf(roomId('b'), 2)))
    }
    await fold.save()
    t.strictSame([floors, storedAtFloor], [[6], 0])
    state.gate = async () => {}
    clock.pass(60_000)
    await fold.save()
    t.strictSame(floors, [6, 7])
    t.strictSame(await storedVersions(state, BOB), { [roomId('a')]: 1, [roomId('b')]: 2 })
  },
)

t.test(
  'I3 two saves at once: the later does not count what the earlier has not stored',
  async (t) => {
    const state = await tempState(t)
    const annAtFloor: number[] = []
    const { fold, floors, clock } = makeFold(state, {
      onFloor: async () => void annAtFloor.push((await state.user(ANN)).length),
    })
    clock.pass(60_000)
    fold.hurry = true
    fold.onMessage(one(1, ANN, pointerOf(roomId('a'), 1)))
    const gate = Promise.withResolvers<void>()
    let calls = 0
    state.gate = async (call) => {
      if (call !== 'saveUsers' || ++calls > 1) return
      await gate.promise
      throw new Error('the store is out of reach')
    }
    const first = fold.save()
    fold.onMessage(one(2, BOB, pointerOf(roomId('a'), 1)))
    const second = fold.save()
    gate.resolve()
    await Promise.all([first, second])
    t.strictSame(
      [floors, annAtFloor],
      [[2], [1]],
      'the first failed, so the second stores its entries too',
    )
  },
)

t.test('I3 the pulse stores about once a second, the floor follows every ten', async (t) => {
  const state = await tempState(t)
  const { fold, floors, clock } = makeFold(state)
  clock.pass(11_000)
  fold.onMessage(one(1, ANN, pointerOf(roomId('a'), 1)))
  fold.pulse(clock.monotonic())
  await eventually('it is stored', () => fold.drained)
  t.strictSame(floors, [1])
  fold.onMessage(one(2, ANN, pointerOf(roomId('a'), 2)))
  clock.pass(500)
  fold.pulse(clock.monotonic())
  t.notOk(fold.drained, 'not yet')
  clock.pass(600)
  fold.pulse(clock.monotonic())
  await eventually('it is stored', () => fold.drained)
  t.strictSame([floors, fold.floor], [[1], 1])
  clock.pass(9_000)
  fold.pulse(clock.monotonic())
  await eventually('the floor follows', () => fold.floor === 2)
  t.strictSame(floors, [1, 2])
})

t.test('I3 what waits for the store is bounded', async (t) => {
  const state = await tempState(t)
  const { fold } = makeFold(state, { max: 3 })
  state.fail = true
  for (let i = 1; i <= 3; i++) fold.onMessage(one(i, ANN, pointerOf(roomId(i), 1)))
  t.notOk(fold.full)
  fold.onMessage(one(4, ANN, pointerOf(roomId(1), 2)))
  t.notOk(fold.full, 'a newer state takes the place of the older')
  fold.onMessage(one(5, ANN, pointerOf(roomId(4), 1)))
  t.ok(fold.full)
  state.fail = false
  await fold.save()
  t.notOk(fold.full)
  t.match(await storedVersions(state, ANN), { [roomId(1)]: 2, [roomId(4)]: 1 })
})

t.test(
  'many unsaved entries are stored before their time, and not again and again while the store fails',
  async (t) => {
    const state = await tempState(t)
    const { fold, failures } = makeFold(state)
    const users = Array.from({ length: 201 }, (_, i) => `uMany${i}` as UserId)
    const pointer = (room: number) => pointerOf(roomId(room), 1)
    const message = (position: number) => ({
      position,
      data: inboxMessage(...users.map((user) => ({ user, pointer: pointer(position) }))),
    })
    state.fail = true
    for (let position = 1; position <= 101; position++) fold.onMessage(message(position))
    await eventually('a failure is told', () => failures.length > 0)
    for (let position = 102; position <= 110; position++) fold.onMessage(message(position))
    t.equal(failures.length, 1)
    state.fail = false
    await fold.save()
    t.ok(fold.drained)
    t.equal((await state.user(users[0]!)).length, 110)
  },
)

t.test(
  'I5 what the durable queues do not have yet is not safe, and their rows are stored before the floor',
  async (t) => {
    const state = await tempState(t)
    const row = { user: ANN, key: '!queue.vA', position: 1, value: new Uint8Array(3) }
    const seen: string[] = []
    const queues = {
      entry: () => void seen.push('entry'),
      message: (position: number) => void seen.push(`message ${position}`),
      safe: 1,
      safeFor: () => queues.safe,
      full: false,
      dirty: true,
      drained: false,
      take: () => ({ rows: [row], stored: () => void seen.push('stored') }),
    }
    const { fold, floors, clock } = makeFold(state, { queues })
    clock.pass(60_000)
    fold.onMessage(one(1, ANN, pointerOf(roomId('a'), 1)))
    fold.onMessage(one(2, ANN, pointerOf(roomId('a'), 2)))
    t.strictSame(seen, ['entry', 'message 1', 'entry', 'message 2'])
    await fold.save()
    t.strictSame([floors, seen.at(-1)], [[1], 'stored'])
    t.strictSame(await storedVersions(state, ANN), { '!queue.vA': 1 })
    t.notOk(fold.drained)
    queues.full = true
    t.ok(fold.full)
    queues.safe = 2
    await fold.save()
    t.strictSame(await storedVersions(state, ANN), { '!queue.vA': 1, [roomId('a')]: 2 })
  },
)

t.test('I5 after a takeover a queue tells of the same events as before', async (t) => {
  const state = await tempState(t)
  const life = new AbortController()
  t.teardown(() => life.abort())
  const device = 'vA' as DeviceId
  const queued: QueueEntry[] = []
  let stuck = true
  const port: QueuePort = {
    limits: { entries: 100, bytes: 1_000_000, ageMs: 1_000_000 },
    now: () => 1,
    append: async (_user, _device, bytes) => {
      if (stuck) return undefined
      queued.push(...readQueueMessage(bytes).entries)
      return { ok: true, seq: queued.length, stream: 'QUEUE_0' }
    },
    addConsumer: async () => {},
    consumer: async () => undefined,
    deleteConsumer: async () => {},
    purge: async () => {},
    store: (rows) => state.saveUsers(rows),
    failed: () => {},
  }
  const owner = async (epoch: number, floor: number) => {
    const queues = new Queues(3, epoch, port, state, life.signal)
    await queues.load()
    return { queues, ...makeFold(state, { queues, floor }) }
  }
  const first = await owner(1, 0)
  first.fold.onMessage(one(1, ANN, pointerOf(roomId('a'), 3)))
  await first.fold.save()
  await first.queues.start(ANN, device, () => first.fold.position)
  first.fold.onMessage(one(2, ANN, pointerOf(roomId('a'), 5)))
  first.fold.onMessage(one(3, BOB, pointerOf(roomId('a'), 5)))
  await first.fold.save()
  t.strictSame(await storedVersions(state, BOB), { [roomId('a')]: 5 }, 'nobody else waits for it')
  first.fold.stop()

  // Killed before its queue took anything. Another one folds again from the floor.
  stuck = false
  const second = await owner(50, 1)
  second.fold.onMessage(one(2, ANN, pointerOf(roomId('a'), 5)))
  await eventually('it is queued', () => queued.length > 0)
  t.match(queued, [{ n: 1, after: 3 }], 'events 4 and 5 are told of')
  await second.fold.save()
  t.match(await storedVersions(state, ANN), { [roomId('a')]: 5 })
})
