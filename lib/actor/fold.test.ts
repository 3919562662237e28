import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { user as behavior } from '../../actors/user/user.ts'
import type { UserId } from '../ids.ts'
import { writeAccountEntry } from '../protocol/inbox.ts'
import { Writer } from '../protocol/writer.ts'
import {
  decode,
  loaded,
  makeFold as makeFoldOf,
  one,
  type Store,
  stateOf,
  storedVersions,
} from '../testing/fold-stage.ts'
import { accountOf, inboxMessage, pointerOf, roomId } from '../testing/pointers.ts'
import { tempState } from '../testing/temp-state.ts'

const ANN = 'uAnn' as UserId
const BOB = 'uBob' as UserId

const makeFold = (state: Store, given: Parameters<typeof makeFoldOf>[2] = {}) =>
  makeFoldOf(behavior, state, given)

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

t.test(
  'what can not be read of one entry costs nobody else theirs, nor its user the rest',
  async (t) => {
    const state = await tempState(t)
    const { fold, poisoned } = makeFold(state)
    await loaded(fold, ANN)
    const bad = (user: UserId, version: number) =>
      writeAccountEntry(new Writer(), user, version, Uint8Array.of(0xc0)).take()
    fold.onMessage({
      position: 1,
      data: Buffer.concat([
        bad(ANN, 1),
        bad(BOB, 1),
        inboxMessage({ user: ANN, pointer: pointerOf(roomId('a'), 1) }),
        inboxMessage({ user: BOB, pointer: pointerOf(roomId('a'), 1) }),
      ]),
    })
    t.strictSame(poisoned, [1])
    const only = { [roomId('a')]: { version: 1, position: 1 } }
    t.strictSame(stateOf((await loaded(fold, ANN)).state), only)
    t.strictSame(stateOf((await loaded(fold, BOB)).state), only)
    await fold.save()
    fold.stop()
    const again = makeFold(state)
    t.strictSame(stateOf((await loaded(again.fold, BOB)).state), only, 'nor after it was stored')
    t.match((await loaded(again.fold, BOB)).state, { account: undefined })
    t.strictSame(again.poisoned, [1])
  },
)

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
