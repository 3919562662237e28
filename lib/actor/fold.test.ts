import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { user as behavior, type User } from '../../actors/user/user.ts'
import type { UserId } from '../ids.ts'
import { readValue } from '../protocol/codec.ts'
import type { Wire } from '../protocol/fields.ts'
import type { Pointer } from '../protocol/frames.ts'
import { POINTER } from '../protocol/pointer.ts'
import { Reader } from '../protocol/reader.ts'
import { eventually } from '../testing/eventually.ts'
import { accountOf, inboxMessage, pointerOf, roomId } from '../testing/pointers.ts'
import { tempState } from '../testing/temp-state.ts'
import { TestClock } from '../testing/test-clock.ts'
import { Fold, type FoldQueues } from './fold.ts'
import type { UserActor } from './user-actor.ts'

const ANN = 'uAnn' as UserId
const BOB = 'uBob' as UserId

type Store = Awaited<ReturnType<typeof tempState>>

const makeFold = (
  state: Store,
  given: {
    queues?: FoldQueues
    max?: number
    floor?: number
    onFloor?: () => Promise<void>
  } = {},
) => {
  const clock = new TestClock()
  const floors: number[] = []
  const failures: unknown[] = []
  const poisoned: number[] = []
  const changed: [string[], number][] = []
  const fold = new Fold<User>(
    {
      behavior,
      state,
      monotonic: () => clock.monotonic(),
      saveFloor: async (_p, position) => {
        await given.onFloor?.()
        floors.push(position)
      },
      folded: (users, position) => void changed.push([[...users].map((u) => u.id), position]),
      storeFailed: (_p, _user, cause) => void failures.push(cause),
      poisoned: (_p, position) => void poisoned.push(position),
    },
    3,
    given.floor ?? 0,
    given.queues,
    given.max,
  )
  return { fold, clock, floors, failures, poisoned, changed }
}

const loaded = (fold: Fold<User>, id: UserId): Promise<UserActor<User>> =>
  new Promise((resolve, reject) =>
    fold.withUser(id, resolve, () => reject(new Error('not readable'))),
  )

const decode = (bytes: Uint8Array): Pointer =>
  readValue(new Reader(bytes), POINTER as unknown as Wire) as Pointer

/** Versions and inbox positions of a user's pointers. */
const stateOf = ({ pointers }: User) =>
  Object.fromEntries(
    [...pointers].map(([key, { version, position }]) => [key, { version, position }]),
  )

const storedVersions = async (state: Store, id: UserId) =>
  Object.fromEntries((await state.user(id)).map(({ key, position }) => [key, position]))

const one = (position: number, user: UserId, pointer: Pointer) => ({
  position,
  data: inboxMessage({ user, pointer }),
})

t.test(
  'I1 the higher version wins, in memory and in the store, in any order and repeated',
  async (t) => {
    const state = await tempState(t)
    let run = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            room: fc.integer({ min: 0, max: 3 }),
            version: fc.integer({ min: 1, max: 30 }),
            /** What happens after the message. */
            next: fc.constantFrom('nothing', 'load', 'save', 'repeat'),
          }),
          { maxLength: 40 },
        ),
        async (messages) => {
          const id = `uRun${run++}` as UserId
          const { fold } = makeFold(state)
          const best = new Map<string, number>()
          let position = 0
          for (const { room, version, next } of messages) {
            const pointer = pointerOf(roomId(room), version)
            fold.onMessage(one(++position, id, pointer))
            best.set(pointer.room, Math.max(version, best.get(pointer.room) ?? 0))
            if (next === 'load') await loaded(fold, id)
            if (next === 'save') await fold.save()
            if (next === 'repeat') fold.onMessage(one(++position, id, pointer))
          }
          await fold.save()
          const expected = Object.fromEntries(best)
          assert.deepEqual(await storedVersions(state, id), expected)
          const { state: inMemory } = await loaded(fold, id)
          const versions = Object.entries(stateOf(inMemory)).map(([key, { version }]) => [
            key,
            version,
          ])
          assert.deepEqual(Object.fromEntries(versions), expected)
          for (const { key, version, value } of inMemory.pointers.values()) {
            assert.deepEqual(
              { key, version },
              { key: decode(value).room, version: decode(value).version },
            )
          }
          fold.stop()
        },
      ),
      { numRuns: 60 },
    )
  },
)

t.test('I1 another owner that folds again from the floor comes to the same', async (t) => {
  const state = await tempState(t)
  const messages = [4, 9, 2, 7, 9].map((version, i) =>
    one(i + 1, ANN, pointerOf(roomId(i % 2), version)),
  )
  const first = makeFold(state)
  for (const message of messages) first.fold.onMessage(message)
  const before = stateOf((await loaded(first.fold, ANN)).state)
  await first.fold.save()
  first.fold.stop()
  const second = makeFold(state)
  for (const message of messages) second.fold.onMessage(message)
  t.strictSame(stateOf((await loaded(second.fold, ANN)).state), before)
})

t.test('I3 an entry that is stored while the rows are read is not missed', async (t) => {
  const state = await tempState(t)
  const { fold } = makeFold(state)
  fold.onMessage(one(1, ANN, pointerOf(roomId('a'), 1)))
  const reading = Promise.withResolvers<void>()
  const read = Promise.withResolvers<void>()
  state.gate = async (call) => {
    if (call !== 'user') return
    read.resolve()
    await reading.promise
  }
  const user = loaded(fold, ANN)
  await read.promise
  await fold.save()
  reading.resolve()
  t.strictSame(stateOf((await user).state), { [roomId('a')]: { version: 1, position: 1 } })
})

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

t.test('a message that can not be read does not stop the inbox', async (t) => {
  const state = await tempState(t)
  const { fold, poisoned } = makeFold(state)
  const half = inboxMessage({ user: ANN, pointer: pointerOf(roomId('a'), 1) })
  fold.onMessage({ position: 1, data: Buffer.concat([half, Uint8Array.of(0xc1)]) })
  fold.onMessage(one(2, ANN, pointerOf(roomId('b'), 2)))
  t.strictSame(poisoned, [1])
  t.strictSame(Object.keys(stateOf((await loaded(fold, ANN)).state)).sort(), [
    roomId('a'),
    roomId('b'),
  ])
  fold.onMessage(one(2, ANN, pointerOf(roomId('c'), 3)))
  t.equal(fold.position, 2, 'a repeated position is passed over')
})

t.test('a marker tells that everything before it is folded', async (t) => {
  const state = await tempState(t)
  const { fold, changed } = makeFold(state)
  const marker = fold.marker('mine').then(() => [changed.length, fold.position])
  fold.onMessage({ position: 1, data: inboxMessage({ marker: 'theirs' }) })
  const both = inboxMessage({ marker: 'mine' }, { user: ANN, pointer: pointerOf(roomId('a'), 1) })
  fold.onMessage({ position: 2, data: both })
  t.strictSame(await marker, [1, 2])
})

t.test('users: read once, kept while needed, forgotten when idle', async (t) => {
  const state = await tempState(t)
  const { fold, clock, failures } = makeFold(state)
  state.fail = true
  await t.rejects(loaded(fold, ANN), 'the asker is told')
  t.equal(failures.length, 1)
  state.fail = false
  const user = await loaded(fold, ANN)
  t.equal(await loaded(fold, ANN), user)
  t.equal(fold.users, 1)
  user.lessees.set('hX' as never, clock.monotonic() + 70_000)
  clock.pass(61_000)
  fold.passivate(clock.monotonic())
  t.equal(fold.users, 1, 'a host holds a lease on its routes')
  clock.pass(10_000)
  fold.passivate(clock.monotonic())
  t.equal(fold.users, 0)
  t.equal([...fold.all()].length, 0)

  const gate = Promise.withResolvers<void>()
  state.gate = () => gate.promise
  const many = Array.from({ length: 300 }, () =>
    loaded(fold, BOB).then(
      () => 1,
      () => 0,
    ),
  )
  fold.stop()
  gate.resolve()
  const answered = await Promise.all(many)
  t.equal(answered.length, 300, 'everybody is answered')
  await t.rejects(loaded(fold, BOB), 'after the end nothing is done')
  fold.onMessage(one(9, BOB, pointerOf(roomId('a'), 1)))
  t.equal(fold.position, 0)
})

t.test('askers past the bound are refused at once', async (t) => {
  const state = await tempState(t)
  const { fold } = makeFold(state)
  const gate = Promise.withResolvers<void>()
  state.gate = () => gate.promise
  let refused = 0
  for (let i = 0; i < 300; i++)
    fold.withUser(
      ANN,
      () => {},
      () => refused++,
    )
  t.equal(refused, 300 - 256)
  gate.resolve()
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
  'I6 the account record is an entry of its own, the rows of others are left alone',
  async (t) => {
    const state = await tempState(t)
    const { fold } = makeFold(state)
    fold.onMessage({
      position: 1,
      data: inboxMessage({ account: accountOf(ANN, 7, { tokenGeneration: 2 }) }),
    })
    fold.onMessage({ position: 2, data: inboxMessage({ account: accountOf(ANN, 6) }) })
    await fold.save()
    await state.saveUsers([{ user: ANN, key: '!queue.vX', position: 9, value: new Uint8Array(1) }])
    fold.stop()
    const again = makeFold(state).fold
    const { account, pointers } = (await loaded(again, ANN)).state
    t.match(account, { version: 7, tokenGeneration: 2 })
    t.equal(pointers.size, 0)
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
    t.equal((await state.user(ANN)).length, 2)
    t.notOk(fold.drained)
    queues.full = true
    t.ok(fold.full)
  },
)
