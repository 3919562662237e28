import t, { type Test } from 'tap'
import { user as behavior, type User } from '../../actors/user/user.ts'
import { inboxConsumer } from '../../nats/consumers.ts'
import type { DEFAULT_LIMITS } from '../../nats/shape.ts'
import type { Nats } from '../bus/bus.ts'
import { Positions } from '../bus/positions.ts'
import { systemClock } from '../clock.ts'
import type { UserId } from '../ids.ts'
import { inboxSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { inboxMessage, pointerBytes, pointerOf, roomId } from '../testing/pointers.ts'
import { startBus } from '../testing/servers/bus.ts'
import { tempState } from '../testing/temp-state.ts'
import { Appends } from './appends.ts'
import { Fold } from './fold.ts'
import { inboxFloor, type StartContext, takeInbox } from './owner-start.ts'
import { PointerQueue } from './pointer-queue.ts'

const ANN = 'uAnn' as UserId
const STREAM = 'INBOX_0'
type Bus = Awaited<ReturnType<typeof startBus>>
type State = Awaited<ReturnType<typeof tempState>>

const appendsOf = (nats: Nats, pointers?: () => PointerQueue) =>
  new Appends(nats, {
    log: () => {},
    inbox: (p, batch, reply) => pointers?.().reply(p, batch, reply),
  })

/** Pointers from a host of rooms to the inbox of partition 0, as often as it takes. */
const writer = async (t: Test, bus: Bus) => {
  const nats = await bus.connect()
  const appends = appendsOf(nats, () => queue)
  const queue: PointerQueue = new PointerQueue(
    { append: (p, bytes, batch) => appends.inbox(inboxSubject(p), p, bytes, batch) },
    1,
    () => 0,
    systemClock,
  )
  const ungap = nats.onGap(() => queue.pulse(true))
  const timer = setInterval(() => {
    queue.pulse()
    queue.flush()
  }, 20)
  t.teardown(() => {
    clearInterval(timer)
    ungap()
  })
  let version = 0
  let safe = 0
  return {
    queue,
    safe: () => safe,
    offer: (room: string, its = ++version) => {
      const id = roomId(room)
      const ticket = { left: 1, done: () => void safe++ }
      queue.offer(ANN, id, its, pointerBytes(pointerOf(id, its)), ticket)
    },
  }
}

/** An owner of partition 0 as far as its inbox goes. */
const owner = async (
  t: Test,
  bus: Bus,
  state: State,
  epoch: number,
  given: { max?: number; appends?: Partial<Appends> } = {},
) => {
  const nats = await bus.connect()
  const positions = new Positions(await nats.bucket('checkpoints'))
  const life = new AbortController()
  t.teardown(() => life.abort())
  const appends = appendsOf(nats)
  const alarms: string[] = []
  const context: StartContext = {
    nats,
    clock: systemClock,
    appends: given.appends === undefined ? appends : Object.assign(appends, given.appends),
    positions,
    streams: 1,
    historyFloor: async () => 0,
    inboxConsumer: (p, its, from) => inboxConsumer(bus.shape, p, its, from),
    provenDead: () => true,
    alarm: (_p, text) => void alarms.push(text),
  }
  const folded: number[] = []
  const fold = new Fold<User>(
    {
      behavior,
      state,
      monotonic: () => systemClock.monotonic(),
      saveFloor: (p, position) => positions.raise(`inbox.${p}`, position),
      folded: (_users, position) => void folded.push(position),
      storeFailed: () => {},
      poisoned: () => {},
    },
    0,
    await inboxFloor(context, 0, life.signal),
    undefined,
    given.max,
  )
  fold.hurry = true
  return {
    nats,
    fold,
    folded,
    alarms,
    life,
    take: () => takeInbox(context, fold, epoch, life.signal),
    versions: () =>
      new Promise<Record<string, number>>((resolve, reject) =>
        fold.withUser(
          ANN,
          ({ state: its }) =>
            resolve(Object.fromEntries([...its.pointers].map(([key, one]) => [key, one.version]))),
          () => reject(new Error('not readable')),
        ),
      ),
  }
}

const open = async (t: Test, limits: Partial<typeof DEFAULT_LIMITS> = {}) =>
  startBus(t, { partitions: 1, streams: 1, limits })

t.test(
  'I3 each owner folds with a consumer of its own from the floor; older ones are deleted',
  async (t) => {
    const bus = await open(t)
    const state = await tempState(t)
    const rooms = await writer(t, bus)
    rooms.offer('a')
    await eventually('it is safe', () => rooms.safe() === 1)
    const first = await owner(t, bus, state, 5)
    await first.take()
    t.strictSame(await first.versions(), { [roomId('a')]: 1 }, 'all that was there is folded')
    rooms.offer('b')
    await eventually(
      'what comes later is folded',
      async () => (await first.versions())[roomId('b')] === 2,
    )
    t.strictSame(await first.nats.streams.consumers(STREAM), ['inbox_0_5'])
    await first.fold.save()
    const { floor } = first.fold
    t.equal(floor, first.fold.position)

    const second = await owner(t, bus, state, 9)
    t.equal(second.fold.floor, floor)
    await second.take()
    rooms.offer('c')
    await eventually('the new one folds', () => second.fold.position > floor + 1)
    t.strictSame(
      second.folded.filter((position) => position <= floor),
      [],
      'what the store has is not folded again',
    )
    await eventually('only its consumer is left', async () => {
      const names = await second.nats.streams.consumers(STREAM)
      return names.length === 1 && names[0] === 'inbox_0_9'
    })
    // The former one, which may not know yet, has lost nothing to it.
    await eventually(
      'the former one reads on',
      async () => (await first.versions())[roomId('c')] === 3,
    )
    first.life.abort()
    second.life.abort()
    await eventually(
      'who ends deletes its own',
      async () => (await second.nats.streams.consumers(STREAM)).length === 0,
    )
  },
)

t.test(
  'I2 I3 kill -9 of nats-server while pointers come: each arrives, none is passed over',
  async (t) => {
    const bus = await open(t)
    const state = await tempState(t)
    const rooms = await writer(t, bus)
    const reader = await owner(t, bus, state, 5)
    await reader.take()
    let offered = 0
    const timer = setInterval(() => rooms.offer(`r${offered++ % 50}`), 1)
    t.teardown(() => clearInterval(timer))
    for (let kills = 0; kills < 3; kills++) {
      const before = rooms.safe()
      await eventually('pointers are safe', () => rooms.safe() > before + 20)
      await bus.server.kill()
      const stuck = rooms.safe()
      await bus.server.start()
      await eventually('they go on', () => rooms.safe() > stuck, { within: 15_000 })
    }
    clearInterval(timer)
    await eventually('all are safe', () => rooms.safe() === offered, { within: 15_000 })
    t.equal(rooms.queue.size, 0)
    const last = Object.fromEntries(
      Array.from({ length: 50 }, (_, room) => {
        const newest = Math.floor((offered - 1 - room) / 50) * 50 + room
        return [roomId(`r${room}`), newest + 1]
      }),
    )
    await eventually(
      'each room is as it was told last',
      async () => {
        const versions = await reader.versions()
        return Object.entries(last).every(([key, version]) => versions[key] === version)
      },
      { within: 15_000 },
    )
  },
)

t.test(
  'I3 while the store takes nothing, reading stops at a bound; then it goes on exactly',
  async (t) => {
    const bus = await open(t)
    const state = await tempState(t)
    const rooms = await writer(t, bus)
    const reader = await owner(t, bus, state, 5, { max: 100 })
    await reader.take()
    state.fail = true
    const total = 3000
    for (let i = 0; i < total; i++) rooms.offer(`r${i}`)
    await eventually('all are safe', () => rooms.safe() === total)
    await eventually('the fold is full', () => reader.fold.full)
    const stopped = reader.fold.position
    const { lastSeq } = await reader.nats.streams.state(STREAM)
    t.ok(stopped + 20 < lastSeq, 'most of it was left in the stream')
    t.equal(reader.fold.position, stopped)
    state.fail = false
    const pulse = setInterval(() => reader.fold.pulse(Number.MAX_SAFE_INTEGER), 20)
    t.teardown(() => clearInterval(pulse))
    await eventually('all of it is stored', async () => (await state.user(ANN)).length === total, {
      within: 15_000,
    })
    t.equal(Object.keys(await reader.versions()).length, total)
  },
)

t.test('L0 an inbox that takes no marker is folded to its end', async (t) => {
  const bus = await open(t, { inboxBytes: 1024 * 1024 })
  const state = await tempState(t)
  const nats = await bus.connect()
  const appends = appendsOf(nats)
  const large = (n: number) =>
    inboxMessage(
      ...Array.from({ length: 150 }, (_, i) => ({
        user: ANN,
        pointer: pointerOf(roomId(`${n}_${i}`), n, {
          preview: 'x'.repeat(250),
          title: 'y'.repeat(250),
        }),
      })),
    )
  let stored = 0
  for (let n = 1; n <= 50; n++) {
    const reply = await appends.once(inboxSubject(0), large(n), undefined)
    if (!reply?.ok) {
      t.match(reply, { code: 10077 })
      break
    }
    stored++
  }
  // Not even a marker fits.
  for (let left = true; left; ) {
    const reply = await appends.once(inboxSubject(0), inboxMessage({ marker: 'x' }), undefined)
    left = reply?.ok === true
  }
  const reader = await owner(t, bus, state, 5, { max: 100 })
  state.fail = true
  let taken = false
  const taking = reader.take().then(() => {
    taken = true
  })
  await eventually('it waits in the middle', () => reader.fold.full)
  await eventually('an owner asked whether all is folded', async () => {
    const consumer = await reader.nats.streams.consumer(STREAM, 'inbox_0_5')
    return consumer !== undefined && consumer.pending + consumer.unacked > 0
  })
  t.equal(taken, false, 'not everything is folded')
  state.fail = false
  const pulse = setInterval(() => reader.fold.pulse(Number.MAX_SAFE_INTEGER), 20)
  t.teardown(() => clearInterval(pulse))
  await taking
  t.equal(reader.fold.position, (await nats.streams.state(STREAM)).lastSeq)
  t.equal(Object.keys(await reader.versions()).length, stored * 150)
})

t.test('an owner that can not read the inbox says so, and starts when it can', async (t) => {
  const bus = await open(t)
  const state = await tempState(t)
  const reader = await owner(t, bus, state, 5)
  await bus.server.kill()
  const taken = reader.take()
  await eventually('it fails', () => !reader.nats.connected)
  await bus.server.start()
  await taken
  t.equal(reader.fold.stopped, false)
  reader.life.abort()
  await t.rejects(reader.take(), 'given up')
})
