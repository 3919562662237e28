import t, { type Test } from 'tap'
import { ParleyError } from '../errors.ts'
import type { DeviceId, UserId } from '../ids.ts'
import { encodeAccount } from '../protocol/account.ts'
import type { InboxEntry } from '../protocol/inbox.ts'
import { type QueueEntry, readQueueMessage } from '../protocol/queue-entries.ts'
import { eventually } from '../testing/eventually.ts'
import { accountOf, pointerBytes, pointerOf, removed, roomId } from '../testing/pointers.ts'
import { tempState } from '../testing/temp-state.ts'
import type { QueuePort } from './queue-device.ts'
import { loadQueues, Queues } from './queues.ts'
import { rowOf } from './user-row.ts'

const ANN = 'uAnn' as UserId
const BOT = 'uBot' as UserId
const V1 = 'v1' as DeviceId
const V2 = 'v2' as DeviceId

type State = Awaited<ReturnType<typeof tempState>>

class Streams {
  readonly entries = new Map<string, QueueEntry[]>()
  readonly consumers = new Set<string>()
  refuse = false
  stuck = false
  seq = 0

  of(device: DeviceId): readonly QueueEntry[] {
    return this.entries.get(device) ?? []
  }

  port(state: State): QueuePort {
    return {
      limits: { entries: 1000, bytes: 1_000_000, ageMs: 1_000_000 },
      now: () => 1,
      append: async (_user, device, bytes) => {
        if (this.stuck) return undefined
        const { entries } = readQueueMessage(bytes)
        this.entries.set(device, [...this.of(device), ...entries])
        return { ok: true, seq: ++this.seq, stream: 'QUEUE_0' }
      },
      addConsumer: async (_user, device) => {
        if (this.refuse) throw new ParleyError('limit')
        this.consumers.add(device)
      },
      consumer: async () => ({ pending: 0, unacked: 0, floor: 0 }),
      deleteConsumer: async (_user, device) => void this.consumers.delete(device),
      purge: async (_user, device) => void this.entries.delete(device),
      store: (rows) => state.saveUsers(rows),
      failed: () => {},
    }
  }
}

const owner = async (t: Test, state: State, streams: Streams, epoch: number) => {
  const life = new AbortController()
  t.teardown(() => life.abort())
  const queues = new Queues(3, epoch, streams.port(state), state, life.signal)
  await loadQueues(queues, life.signal)
  let position = 100
  const message = (...entries: InboxEntry[]) => {
    for (const entry of entries) queues.entry(entry)
    queues.message(++position)
    return position
  }
  return { queues, life, message, at: () => position }
}

const pointer = (user: UserId, room: string, version: number): InboxEntry => ({
  kind: 'pointer',
  user,
  room: roomId(room),
  version,
  pointer: pointerBytes(pointerOf(roomId(room), version)),
})

const account = (version: number, more: Parameters<typeof accountOf>[2]): InboxEntry => ({
  kind: 'account',
  user: BOT,
  version,
  account: encodeAccount(accountOf(BOT, version, more)),
})

t.test('I5 each device that asked gets the pointers of its user, nobody else’s', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const { queues, message, at } = await owner(t, state, streams, 1)
  message(pointer(BOT, 'a', 1))
  await queues.start(BOT, V1, at)
  t.equal(queues.has(BOT, V1), true)
  t.equal(queues.has(BOT, V2), false)
  t.equal(queues.has(ANN, V1), false)
  message(pointer(ANN, 'a', 2), pointer(BOT, 'a', 3), { kind: 'marker', nonce: 'x' })
  await queues.start(BOT, V2, at)
  message(pointer(BOT, 'b', 4), pointer(BOT, 'a', 5))
  await eventually(
    'all is written',
    () => queues.drained || (queues.dirty && !queues.full && queues.safe > 1e9),
  )
  t.match(streams.of(V1), [
    { n: 1, stamp: 102, after: 0 },
    { n: 2, stamp: 102, after: 0 },
    { n: 3, stamp: 103, after: 3 },
  ])
  t.match(streams.of(V2), [{ n: 1 }, { n: 2, stamp: 103 }])
  const { rows, stored } = queues.take()
  t.equal(rows.length, 2)
  await state.saveUsers(rows)
  stored()
  t.equal(queues.drained, true)
  t.equal(queues.dirty, false)
})

t.test('I5 the next owner knows the queues before it folds, and goes on in them', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const first = await owner(t, state, streams, 1)
  const entry = {
    key: roomId('known'),
    version: 7,
    position: 50,
    value: pointerBytes(pointerOf(roomId('known'), 7)),
  }
  await state.saveUsers([rowOf(BOT, entry)])
  await first.queues.start(BOT, V1, first.at)
  first.message(pointer(BOT, 'a', 1))
  await eventually('it is written', () => streams.of(V1).length === 1)
  await state.saveUsers(first.queues.take().rows)
  first.life.abort()
  const second = await owner(t, state, streams, 50)
  t.equal(second.queues.has(BOT, V1), true)
  second.message(pointer(BOT, 'a', 1))
  second.message(pointer(BOT, 'known', 9))
  await eventually('it is written', () => streams.of(V1).length === 2)
  t.match(streams.of(V1)[1], { n: 2, stamp: 102, after: 7 }, 'what was queued is not queued again')
})

t.test('I5 an owner waits for its list of queues', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const first = await owner(t, state, streams, 1)
  await first.queues.start(BOT, V1, first.at)
  state.fail = true
  let known = false
  const second = owner(t, state, streams, 2).then((it) => {
    known = true
    return it
  })
  t.equal(known, false)
  state.fail = false
  t.equal((await second).queues.has(BOT, V1), true)
  const life = new AbortController()
  life.abort()
  await t.rejects(
    loadQueues(new Queues(3, 9, streams.port(state), state, life.signal), life.signal),
  )
})

t.test('I5 what does not go in holds the floor, and in the end the inbox', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const { queues, message, at } = await owner(t, state, streams, 1)
  await queues.start(BOT, V1, at)
  streams.stuck = true
  const first = message(pointer(BOT, 'a', 1))
  message(pointer(BOT, 'a', 2))
  t.equal(queues.safe, first - 1)
  t.equal(queues.drained, false)
  t.equal(queues.full, false)
  const many = Array.from({ length: 50_000 }, () => pointer(BOT, 'a', 3))
  message(...many)
  t.equal(queues.full, true)
})

t.test('I5 refused or failed, there is no queue', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const { queues, message, at } = await owner(t, state, streams, 1)
  streams.refuse = true
  await t.rejects(queues.start(BOT, V1, at), { code: 'limit' })
  t.equal(queues.has(BOT, V1), false)
  message(pointer(BOT, 'a', 1))
  t.equal(queues.drained, true)
  await queues.end(BOT, V1)
  await queues.end(ANN, V1)
  queues.pulse()
})

t.test('I5 a removed device loses its queue, an erased user all', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const { queues, message, at } = await owner(t, state, streams, 1)
  await queues.start(BOT, V1, at)
  await queues.start(BOT, V2, at)
  message(account(5, { devices: [removed(V1)] }))
  t.equal(queues.has(BOT, V1), false)
  t.equal(queues.has(BOT, V2), true)
  await eventually('its consumer is gone', () => !streams.consumers.has(V1))
  message(account(4, { exists: false }))
  t.equal(queues.has(BOT, V2), true, 'an older record')
  await queues.start(BOT, V1, at)
  t.equal(queues.has(BOT, V1), false, 'it asked while it was being removed')
  message(account(6, { exists: false }))
  t.equal(queues.has(BOT, V2), false)
  await eventually('no consumer is left', () => streams.consumers.size === 0)
})

t.test('I5 the list forgets users without queues', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const { queues, at } = await owner(t, state, streams, 1)
  await queues.start(BOT, V1, at)
  await queues.end(BOT, V1)
  await eventually('its consumer is gone', () => streams.consumers.size === 0)
  await eventually('it is off', () => {
    const { rows, stored } = queues.take()
    return state.saveUsers(rows).then(() => {
      stored()
      return queues.drained
    })
  })
  await queues.start(ANN, V2, at)
  const index = await state.partition('queues.3')
  t.notOk(Buffer.from(index!.value).includes(BOT))
  t.ok(Buffer.from(index!.value).includes(ANN))
})

t.test('I5 users without queues are forgotten, and known again when they ask', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const { queues, at, message } = await owner(t, state, streams, 1)
  await queues.start(BOT, V1, at)
  queues.pulse()
  t.ok(queues.has(BOT, V1), 'not who has one')
  await queues.end(BOT, V1)
  await eventually('its consumer is gone', () => streams.consumers.size === 0)
  queues.pulse()
  t.ok(queues.dirty, 'nor who has a row that is not stored')
  const { rows, stored } = queues.take()
  await state.saveUsers(rows)
  stored()
  queues.pulse()
  t.equal(queues.users, 0)
  message(pointer(BOT, 'a', 1))
  await queues.start(BOT, V1, at)
  message(pointer(BOT, 'a', 2))
  await eventually('it is queued', () => streams.of(V1).length === 1)
})

t.test('I5 a former owner does not take a user off the list of the next', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const former = await owner(t, state, streams, 1)
  for (const device of [V1, V2]) await former.queues.start(BOT, device, former.at)
  const next = await owner(t, state, streams, 2)
  await next.queues.start(ANN, V1, next.at)
  for (const device of [V1, V2, V1]) await former.queues.start(BOT, device, former.at)
  const third = await owner(t, state, streams, 3)
  t.ok(third.queues.has(ANN, V1))
  t.ok(third.queues.has(BOT, V1))
})

t.test('I5 an owner that starts hears of queues given or taken away meanwhile', async (t) => {
  const state = await tempState(t)
  const streams = new Streams()
  const former = await owner(t, state, streams, 1)
  const empty = await owner(t, state, streams, 2)
  t.equal(await empty.queues.unchanged(), true)
  await former.queues.start(BOT, V1, former.at)
  t.equal(await empty.queues.unchanged(), false)
  const next = await owner(t, state, streams, 3)
  t.equal(await next.queues.unchanged(), true)
  await former.queues.start(BOT, V2, former.at)
  t.equal(await next.queues.unchanged(), false)
  const third = await owner(t, state, streams, 4)
  await former.queues.end(BOT, V1)
  t.equal(await third.queues.unchanged(), false)
  await third.queues.end(BOT, V1)
  const fourth = await owner(t, state, streams, 5)
  await fourth.queues.end(ANN, V1)
  t.equal(await fourth.queues.unchanged(), true, 'there was nothing to take away')
})
