import t from 'tap'
import { ParleyError } from '../errors.ts'
import type { UserRow } from '../store/state/state.ts'
import { eventually } from '../testing/eventually.ts'
import {
  EPOCH,
  FakeQueue,
  idle,
  startQueue as on,
  openQueue as open,
  queued as pointer,
  saveRow as save,
} from '../testing/fake-queue.ts'
import { pointerBytes, pointerOf, roomId } from '../testing/pointers.ts'
import type { QueueDevice } from './queue-device.ts'
import { decodeRow } from './queue-row.ts'

t.test(
  'I5 pointers folded after its start are numbered from 1 and appended in order',
  async (t) => {
    const fake = new FakeQueue()
    const queue = await on(t, fake)
    t.match(fake.stored, { mode: 'on', n: 0, position: 10 }, 'stored before the device is told')
    queue.push(10, [pointer(1)])
    queue.push(11, [pointer(2, 1)])
    queue.push(12, [pointer(3), pointer(4), pointer(5)])
    queue.push(12, [pointer(9)])
    await idle(queue)
    t.strictSame(fake.numbers, [1, 2, 3, 4])
    t.match(fake.entries[0], { kind: 'pointer', stamp: 11, after: 1 })
    t.strictSame(
      fake.entries.map(({ stamp }) => stamp),
      [11, 11, 11, 12],
      'told up to there',
    )
    t.equal(fake.messages[0]?.epoch, EPOCH)
  },
)

t.test(
  'I5 nothing counts as folded before its PubAck, and it is sent again until then',
  async (t) => {
    const fake = new FakeQueue()
    const queue = await on(t, fake)
    const fates = ['lost', { ok: false, code: 503, last: undefined, text: '' }, 'stored'] as const
    let tries = 0
    fake.onAppend = () => {
      t.equal(queue.safe, 10, 'below the oldest that waits')
      return fates[tries++] as never
    }
    queue.push(11, [pointer(1)])
    queue.push(13, [pointer(2)])
    t.equal(queue.safe, 10)
    await eventually('it is tried again', () => tries >= 4)
    fake.onAppend = () => undefined
    await idle(queue)
    t.equal(queue.safe, Number.POSITIVE_INFINITY)
    t.equal(fake.numbers[0], 1)
    t.strictSame([...new Set(fake.numbers)], [1, 2], 'a copy has the number of the first')
    await save(fake, queue)
    t.match(fake.stored, { n: 2, position: 13 })
  },
)

t.test('I5 another owner that folds again gives the same numbers', async (t) => {
  const fake = new FakeQueue()
  const queue = await on(t, fake)
  queue.push(11, [pointer(1)])
  await idle(queue)
  await save(fake, queue)
  queue.push(12, [pointer(2), pointer(3)])
  await idle(queue)
  // Killed before the row is stored.
  const next = open(t, fake, { epoch: 2000 })
  for (const position of [11, 12])
    next.push(position, position === 11 ? [pointer(1)] : [pointer(2), pointer(3)])
  next.push(13, [pointer(4)])
  await idle(next)
  t.strictSame(fake.numbers, [1, 2, 3, 2, 3, 4])
  await save(fake, next)
  t.match(fake.stored, { n: 4, position: 13 })
  t.ok(fake.row!.position >= 2000, 'the row of a newer owner wins')
})

t.test('I5 of a position half told the row says nothing yet', async (t) => {
  const fake = new FakeQueue()
  const queue = await on(t, fake, { limits: { entries: 1000 } })
  // More than one message takes.
  const many = Array.from({ length: 100 }, (_, i) => ({
    after: 0,
    pointer: pointerBytes(
      pointerOf(roomId(i), 1, { preview: 'x'.repeat(250), title: 'y'.repeat(250) }),
    ),
  }))
  let appends = 0
  fake.onAppend = () => (++appends > 2 ? 'lost' : undefined)
  queue.push(11, [pointer(1)])
  queue.push(12, many)
  await eventually('a third message is tried', () => appends > 3)
  t.equal(fake.messages.length, 2)
  t.equal(await save(fake, queue), 11)
  t.match(fake.stored, { n: 1, position: 11 })
  fake.onAppend = () => undefined
  await idle(queue)
  t.ok(fake.messages.length > 1)
  t.strictSame(
    fake.numbers,
    fake.numbers.map((_, i) => i + 1),
  )
  await save(fake, queue)
  t.match(fake.stored, { n: 101, position: 12 })
})

t.test(
  'I5 given up: the row first, then consumer and entries; what fails is tried again',
  async (t) => {
    const fake = new FakeQueue()
    const queue = await on(t, fake)
    queue.push(11, [pointer(1)])
    await idle(queue)
    fake.failing.add('deleteConsumer')
    await queue.end()
    t.match(fake.stored, { mode: 'closing', n: 1 })
    queue.push(12, [pointer(2)])
    t.equal(queue.waiting, 0, 'nothing more goes in')
    await eventually('it fails', () => fake.failures.length > 0)
    fake.failing.clear()
    await eventually('it is off', () => queue.off)
    t.strictSame([fake.consumer, fake.entries.length], [undefined, 0])
    await save(fake, queue)
    await queue.end()
    t.match(fake.stored, { mode: 'off', n: 1 })
    await queue.start(() => 20)
    queue.push(21, [pointer(3)])
    await idle(queue)
    t.strictSame(fake.numbers, [2], 'the numbers go on')
  },
)

t.test('I5 giving up that was begun is completed by the next owner', async (t) => {
  const fake = new FakeQueue()
  const life = new AbortController()
  const queue = await on(t, fake, { life })
  fake.failing.add('deleteConsumer')
  await queue.end()
  life.abort()
  fake.failing.clear()
  const next = open(t, fake, { epoch: 2000 })
  await eventually('it is off', () => next.off)
  t.equal(fake.consumer, undefined)
})

t.test('I5 no consumer, no queue', async (t) => {
  const fake = new FakeQueue()
  const queue = open(t, fake)
  fake.failing.add('addConsumer')
  await t.rejects(
    queue.start(() => 10),
    ParleyError,
  )
  t.equal(queue.on, false)
  t.equal(fake.row, undefined)
  fake.failing.clear()
  fake.failing.add('store')
  await t.rejects(queue.start(() => 10))
  t.ok(queue.dirty, 'the fold stores it later')
})

t.test('I5 a consumer that is gone is made again when the queue is looked at', async (t) => {
  const fake = new FakeQueue()
  const queue = await on(t, fake, { limits: { entries: 1 } })
  fake.consumer = undefined
  queue.push(11, [pointer(1)])
  queue.push(12, [pointer(2)])
  await eventually('it is there', () => fake.consumer !== undefined)
})

t.test('I5 what a former owner still writes does not undo what the next one has', async (t) => {
  const fake = new FakeQueue()
  /** Of two writes to a row the higher position wins, as in the store. */
  let kept: UserRow | undefined
  const keep = (queue: QueueDevice) => {
    const { row, stored } = queue.take()
    if (row.position > (kept?.position ?? 0)) kept = row
    stored()
  }
  const former = await on(t, fake, { epoch: 100 })
  for (let position = 11; position <= 30; position++) {
    former.push(position, [pointer(position)])
    await idle(former)
  }
  await save(fake, former)
  kept = fake.row
  t.ok(fake.row!.position > 110, 'it has changed more often than the log has grown')
  const next = open(t, fake, { epoch: 110 })
  next.endSoon()
  await eventually('it is off', () => next.off)
  keep(next)
  // It does not know yet that it is not the owner any more.
  for (let position = 31; position <= 40; position++) {
    former.push(position, [pointer(position)])
    await idle(former)
    keep(former)
  }
  t.match(decodeRow(kept!.value), { mode: 'off' })
})

t.test('I5 asked for again while its former self is deleted, it waits a moment', async (t) => {
  const fake = new FakeQueue()
  const queue = await on(t, fake)
  fake.failing.add('deleteConsumer')
  await queue.end()
  const refused = queue.start(() => 10)
  await t.rejects(refused, { code: 'unavailable' }, 'and no longer')
  t.notOk(queue.on)
  const again = queue.start(() => 10)
  fake.failing.clear()
  await again
  t.ok(queue.on)
  t.ok(fake.consumer !== undefined)
})

t.test('I5 asked for again while its stream takes nothing, it is answered', async (t) => {
  const fake = new FakeQueue()
  const queue = await on(t, fake)
  fake.onAppend = () => 'lost'
  queue.push(11, [pointer(1)])
  await queue.start(() => 11)
  t.equal(queue.waiting, 1)
  t.match(fake.stored, { mode: 'on', position: 10 })
})

t.test('I5 a start that outlives its owner changes nothing', async (t) => {
  const fake = new FakeQueue()
  const life = new AbortController()
  const queue = open(t, fake, { life })
  const started = queue.start(() => 10)
  life.abort()
  await t.rejects(started)
  t.notOk(queue.on)
  t.equal(fake.row, undefined)
})

t.test('rows of a newer version are refused', async (t) => {
  t.throws(() => decodeRow(Uint8Array.of(0x94, 9, 1, 1, 1)), /newer version/)
})
