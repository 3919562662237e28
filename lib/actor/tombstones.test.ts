import t, { type Test } from 'tap'
import { user as behavior, type User } from '../../actors/user/user.ts'
import type { UserId } from '../ids.ts'
import type { Pointer } from '../protocol/frames.ts'
import { inboxMessage, pointerOf, roomId } from '../testing/pointers.ts'
import { tempState } from '../testing/temp-state.ts'
import { TestClock } from '../testing/test-clock.ts'
import { Fold } from './fold.ts'
import { TOMBSTONE_MS, TOMBSTONES, Tombstones } from './tombstones.ts'
import type { UserActor } from './user-actor.ts'

const ANN = 'uAnn' as UserId
const BOB = 'uBob' as UserId
const HOUR = 3_600_000
const STREAM = 's1'

type State = Awaited<ReturnType<typeof tempState>>

/** An owner of the partition: what it folds, and what it drops. */
const owner = (state: State, clock: TestClock, floor = 0) => {
  const failures: unknown[] = []
  const fold: Fold<User> = new Fold<User>(
    {
      behavior,
      state,
      monotonic: () => clock.monotonic(),
      saveFloor: async () => {},
      folded: () => {},
      storeFailed: (_p, _user, cause) => void failures.push(cause),
      poisoned: (_p, _position, cause) => void failures.push(cause),
    },
    0,
    floor,
  )
  fold.hurry = true
  const tombstones = new Tombstones<User>(
    {
      behavior,
      state,
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      failed: (_user, cause) => void failures.push(cause),
    },
    fold,
  )
  const load = (id: UserId): Promise<UserActor<User>> =>
    new Promise((resolve, reject) =>
      fold.withUser(id, resolve, () => reject(new Error('not readable'))),
    )
  const message = (
    position: number,
    room: string | number,
    more: Partial<Pointer> = {},
    id = ANN,
  ) =>
    fold.onMessage({
      position,
      data: inboxMessage({ user: id, pointer: pointerOf(roomId(room), position, more) }),
    })
  /** The room is left now. */
  const left = (position: number, room: string | number, id = ANN) =>
    message(position, room, { flags: 1, time: clock.now() }, id)
  const sync = async (position: number, id = ANN) => {
    const { full, pointers } = behavior.changes(
      (await load(id)).state,
      { stream: STREAM, position },
      STREAM,
      fold.position,
    )
    return { full, changes: pointers.length }
  }
  return { fold, tombstones, failures, load, message, left, sync }
}

const keysOf = async (state: State, id = ANN) => (await state.user(id)).map(({ key }) => key)

/** Ann is in `a`, and left `b` at 2 and `c` at 3, ten days later. */
const stage = async (t: Test) => {
  const state = await tempState(t)
  const clock = new TestClock()
  const first = owner(state, clock)
  first.message(1, 'a')
  first.left(2, 'b')
  clock.pass(TOMBSTONE_MS / 3)
  first.left(3, 'c')
  await first.fold.save()
  await first.load(ANN)
  return { state, clock, ...first }
}

t.test('I4 tombstones of left rooms are dropped after 30 days, not before', async (t) => {
  const { state, clock, tombstones, sync, failures } = await stage(t)
  clock.pass(TOMBSTONE_MS - TOMBSTONE_MS / 3)
  await tombstones.sweep()
  t.strictSame(await keysOf(state), ['a', 'b', 'c'].map(roomId), '30 days are not over')
  t.strictSame(await sync(1), { full: false, changes: 2 })
  clock.pass(HOUR)
  await tombstones.sweep()
  t.strictSame(await keysOf(state), [...['a', 'c'].map(roomId), '~dropped'])
  t.strictSame(await sync(1), { full: true, changes: 2 })
  t.strictSame(await sync(2), { full: false, changes: 1 }, 'a younger cursor still gets the rest')
  clock.pass(TOMBSTONE_MS)
  await tombstones.sweep()
  t.strictSame(await keysOf(state), [roomId('a'), '~dropped'])
  t.strictSame(await sync(2), { full: true, changes: 1 })
  t.strictSame(await sync(3), { full: false, changes: 0 })
  t.strictSame(failures, [])
})

t.test('I4 after a restart or takeover an older cursor still gets the full list', async (t) => {
  const { state, clock, tombstones, fold } = await stage(t)
  clock.pass(TOMBSTONE_MS + 1)
  await tombstones.sweep()
  fold.stop()
  // It folds from the inbox floor again, which may be below what was dropped when that floor was lost.
  const next = owner(state, clock, 1)
  next.fold.onMessage({
    position: 3,
    data: inboxMessage({ user: BOB, pointer: pointerOf(roomId('a'), 3) }),
  })
  t.strictSame(await next.sync(2), { full: true, changes: 1 })
  t.strictSame(await next.sync(3), { full: false, changes: 0 })
  t.equal(behavior.newest((await next.load(ANN)).state), 3)
  // A late write of the former owner, which had dropped less, changes nothing.
  await state.saveUsers([{ user: ANN, key: '~dropped', position: 2, value: Uint8Array.of(2) }])
  const third = owner(state, clock, 3)
  t.strictSame(await third.sync(2), { full: true, changes: 1 })
})

t.test('I4 how far is stored before anything is dropped, and a failure is made good', async (t) => {
  const { state, clock, tombstones, fold, sync, failures } = await stage(t)
  clock.pass(TOMBSTONE_MS + 1)
  state.fail = true
  await tombstones.sweep()
  t.equal(failures.length, 1)
  t.strictSame(await sync(1), { full: false, changes: 2 }, 'nothing has changed')
  state.fail = false
  const calls: unknown[] = []
  state.gate = async (call) => {
    calls.push([call, (await sync(1)).full])
    if (call === 'dropUsers') throw new Error('killed here')
  }
  await tombstones.sweep()
  t.strictSame(calls, [
    ['saveUsers', false],
    ['dropUsers', true],
  ])
  t.equal(failures.length, 2)
  state.gate = async () => {}
  t.strictSame(await keysOf(state), [...['a', 'b', 'c'].map(roomId), '~dropped'])
  fold.stop()
  const next = owner(state, clock, 3)
  t.strictSame(await next.sync(1), { full: true, changes: 3 }, 'as it was told before')
  await next.tombstones.sweep()
  t.strictSame(await keysOf(state), [roomId('a'), '~dropped'])
  t.strictSame(await next.sync(3), { full: false, changes: 0 })
})

t.test('I4 a room that is joined again while its tombstone is dropped stays', async (t) => {
  const { state, clock, tombstones, message, fold, load } = await stage(t)
  clock.pass(TOMBSTONE_MS + 1)
  state.gate = async (call) => {
    state.gate = async () => {}
    t.equal(call, 'saveUsers')
    message(4, 'b')
    await fold.save()
  }
  await tombstones.sweep()
  t.strictSame(await keysOf(state), [...['a', 'b'].map(roomId), '~dropped'])
  t.strictSame([...(await load(ANN)).state.pointers.keys()], ['a', 'b'].map(roomId))
})

t.test('I4 what is not stored yet, or above the floor, is not dropped', async (t) => {
  const { state, clock, tombstones, left, fold, sync } = await stage(t)
  state.fail = true
  left(4, 'd')
  await fold.save()
  state.fail = false
  clock.pass(TOMBSTONE_MS + HOUR)
  await tombstones.sweep()
  t.equal(fold.floor, 3)
  t.strictSame(await sync(3), { full: false, changes: 1 })
  await fold.save()
  clock.pass(HOUR)
  await tombstones.sweep()
  t.strictSame(await sync(3), { full: true, changes: 1 })
})

t.test('I4 dropping goes in bounded steps, the oldest first', async (t) => {
  const state = await tempState(t)
  const clock = new TestClock()
  const { fold, tombstones, left, load, sync } = owner(state, clock)
  const many = TOMBSTONES + 10
  for (let position = 1; position <= many; position++) left(position, position)
  left(many + 1, 'b', BOB)
  await fold.save()
  await load(ANN)
  await load(BOB)
  clock.pass(TOMBSTONE_MS + 1)
  const steps: number[] = []
  state.gate = async (call) => {
    if (call === 'dropUsers') steps.push((await load(ANN)).state.pointers.size)
  }
  await tombstones.sweep()
  t.strictSame(await sync(TOMBSTONES), { full: false, changes: 10 })
  t.strictSame(await sync(TOMBSTONES - 1), { full: true, changes: 10 })
  await Promise.all([tombstones.sweep(), tombstones.sweep()])
  t.strictSame(steps, [10, 0], 'one at a time')
  t.strictSame(await keysOf(state), ['~dropped'])
  t.strictSame(await keysOf(state, BOB), ['~dropped'])
  await tombstones.sweep()
  t.equal(steps.length, 2, 'nothing is left to do')
})
