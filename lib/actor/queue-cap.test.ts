import t from 'tap'
import { eventually } from '../testing/eventually.ts'
import {
  BOT,
  FakeQueue,
  idle,
  startQueue as on,
  openQueue as open,
  queued as pointer,
  saveRow as save,
} from '../testing/fake-queue.ts'
import { encodeRow } from './queue-row.ts'

t.test(
  'I5 at the cap: the row first, then the purge, then one reset, then it goes on',
  async (t) => {
    const fake = new FakeQueue()
    const queue = await on(t, fake, { limits: { entries: 3 } })
    for (let position = 11; position <= 14; position++) {
      queue.push(position, [pointer(position)])
      await idle(queue)
    }
    await eventually('it is reset', () => fake.entries[0]?.kind === 'reset')
    t.strictSame(fake.entries, [{ kind: 'reset', n: 5, stamp: 14 }])
    const from = fake.calls.lastIndexOf('consumer')
    t.strictSame(fake.calls.slice(from), ['consumer', 'store', 'purge 5', 'append'])
    queue.push(15, [pointer(15)])
    await idle(queue)
    t.strictSame(fake.numbers, [5, 6])
  },
)

t.test('I5 what the device has acknowledged does not count', async (t) => {
  const fake = new FakeQueue()
  const queue = await on(t, fake, { limits: { entries: 3 } })
  for (let position = 11; position <= 30; position++) {
    queue.push(position, [pointer(position)])
    await idle(queue)
    fake.ack(fake.last)
  }
  t.notOk(fake.entries.some(({ kind }) => kind === 'reset'))
  t.equal(queue.on, true)
})

t.test('I5 too many bytes, or too old, is a reset too', async (t) => {
  const fake = new FakeQueue()
  const queue = await on(t, fake, { limits: { bytes: 200 } })
  for (let position = 11; position <= 14; position++) {
    queue.push(position, [pointer(position)])
    await idle(queue)
  }
  await eventually('it is reset', () => fake.entries.some(({ kind }) => kind === 'reset'))

  const old = new FakeQueue()
  const aged = await on(t, old)
  aged.push(11, [pointer(1)])
  await idle(aged)
  aged.pulse()
  old.now += 2_000_000
  aged.pulse()
  await eventually('it is reset', () => old.entries[0]?.kind === 'reset')
})

t.test('I5 a full stream or subject is the cap as well', async (t) => {
  const fake = new FakeQueue()
  const queue = await on(t, fake)
  queue.push(11, [pointer(1)])
  await idle(queue)
  let full = true
  fake.onAppend = () => {
    const refused = full
    full = false
    return refused ? { ok: false, code: 10077, last: undefined, text: 'full' } : undefined
  }
  queue.push(12, [pointer(2)])
  await eventually('it is reset', () => fake.entries[0]?.kind === 'reset')
  t.strictSame(fake.numbers, [3])
})

t.test('I5 a reset that was begun is completed by the next owner, with its number', async (t) => {
  const fake = new FakeQueue()
  const life = new AbortController()
  const queue = await on(t, fake, { limits: { entries: 1 }, life })
  fake.failing.add('purge')
  queue.push(11, [pointer(1)])
  queue.push(12, [pointer(2)])
  await eventually('its row is stored', () => fake.stored?.mode === 'reset')
  t.ok(fake.failures.length > 0)
  const { n } = fake.stored!
  life.abort()
  fake.failing.clear()
  const next = open(t, fake, { epoch: 2000 })
  next.push(13, [pointer(3)])
  await eventually('both are there', () => fake.entries.length === 2)
  t.match(fake.entries, [
    { kind: 'reset', n },
    { kind: 'pointer', n: n + 1, stamp: 13 },
  ])
})

t.test('I5 a new owner counts what a former one has written', async (t) => {
  const fake = new FakeQueue()
  const queue = await on(t, fake, { limits: { entries: 3 } })
  for (let position = 11; position <= 13; position++) {
    queue.push(position, [pointer(position)])
    await idle(queue)
  }
  await save(fake, queue)
  const next = open(t, fake, { epoch: 2000, limits: { entries: 3 } })
  await eventually('it has asked', () => fake.calls.at(-1) === 'consumer')
  next.push(14, [pointer(14)])
  await eventually('it is reset', () => fake.entries[0]?.kind === 'reset')
  t.ok(fake.calls.includes('purge 5'))
  t.equal(fake.entries.length, 1)

  const drained = new FakeQueue()
  drained.row = {
    user: BOT,
    key: '!queue.v1',
    position: 5,
    value: encodeRow({ mode: 'on', rev: 5, n: 9, position: 50 }),
  }
  drained.consumer = { floor: 0 }
  drained.messages = [
    { seq: 1, entries: [], epoch: 1 },
    { seq: 2, entries: [], epoch: 1 },
  ]
  drained.last = 2
  const after = open(t, drained, { limits: { entries: 2 } })
  await eventually('it has asked', () => drained.calls.includes('consumer'))
  drained.ack(2)
  after.push(51, [pointer(1)])
  await idle(after)
  after.push(52, [pointer(2)])
  await idle(after)
  t.strictSame(drained.numbers, [10, 11], 'what was acknowledged meanwhile does not count')
})
