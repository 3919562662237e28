import t, { type Test } from 'tap'
import type { AppendReply, ConsumerState } from '../bus/bus.ts'
import { ParleyError } from '../errors.ts'
import type { DeviceId, UserId } from '../ids.ts'
import { type QueueEntry, readQueueMessage } from '../protocol/queue-entries.ts'
import type { UserRow } from '../store/state/state.ts'
import { eventually } from '../testing/eventually.ts'
import { pointerBytes, pointerOf, roomId } from '../testing/pointers.ts'
import { QueueDevice, type QueueLimits, type QueuePort } from './queue-device.ts'
import { decodeRow, encodeRow } from './queue-row.ts'

const BOT = 'uBot' as UserId
const V1 = 'v1' as DeviceId
const EPOCH = 1000

/** The device's subject, its consumer and its row, each of which may fail. */
class FakeQueue {
  messages: { seq: number; entries: readonly QueueEntry[]; epoch: number }[] = []
  row: UserRow | undefined
  consumer: { floor: number } | undefined
  last = 0
  /** What happened, in order. */
  readonly calls: string[] = []
  readonly failures: unknown[] = []
  /** Called before each append; an answer takes the place of the real one. */
  onAppend: () => AppendReply | 'lost' | 'stored' | undefined = () => undefined
  failing = new Set<string>()
  now = 1_000_000

  readonly port = (limits: Partial<QueueLimits> = {}): QueuePort => ({
    limits: { entries: 100, bytes: 1_000_000, ageMs: 1_000_000, ...limits },
    now: () => this.now,
    append: async (_user, _device, bytes) => {
      this.#call('append')
      const fate = this.onAppend()
      if (fate === 'lost') return undefined
      if (typeof fate === 'object') return fate
      this.messages.push({ seq: ++this.last, ...readQueueMessage(bytes) })
      return fate === 'stored' ? undefined : { ok: true, seq: this.last, stream: 'QUEUE_0' }
    },
    addConsumer: async () => {
      this.#call('addConsumer')
      this.consumer ??= { floor: 0 }
    },
    consumer: async (): Promise<ConsumerState | undefined> => {
      this.#call('consumer')
      if (this.consumer === undefined) return undefined
      return { pending: this.messages.length, unacked: 0, floor: this.consumer.floor }
    },
    deleteConsumer: async () => {
      this.#call('deleteConsumer')
      this.consumer = undefined
    },
    purge: async (_user, _device, below) => {
      this.#call(`purge ${below}`)
      this.messages = this.messages.filter(({ seq }) => below !== undefined && seq >= below)
    },
    store: async ([row]) => {
      this.#call('store')
      this.row = row
    },
    failed: (_user, _device, cause) => void this.failures.push(cause),
  })

  #call(name: string): void {
    this.calls.push(name)
    const [verb] = name.split(' ')
    if (this.failing.has(verb!)) throw new ParleyError('unavailable', { detail: verb! })
  }

  /** The device acknowledges everything up to a message. */
  ack(seq: number): void {
    this.consumer = { floor: seq }
    this.messages = this.messages.filter((message) => message.seq > seq)
  }

  get entries(): readonly QueueEntry[] {
    return this.messages.flatMap(({ entries }) => entries)
  }

  get numbers(): number[] {
    return this.entries.map(({ n }) => n)
  }

  get stored() {
    return this.row && decodeRow(this.row.value)
  }
}

const open = (
  t: Test,
  fake: FakeQueue,
  given: { limits?: Partial<QueueLimits>; epoch?: number; life?: AbortController } = {},
): QueueDevice => {
  const { life = new AbortController() } = given
  t.teardown(() => life.abort())
  const row = fake.row === undefined ? undefined : decodeRow(fake.row.value)
  const port = fake.port(given.limits)
  return new QueueDevice(port, BOT, V1, given.epoch ?? EPOCH, row, life.signal)
}

const pointer = (version: number, after = 0) => ({
  after,
  pointer: pointerBytes(pointerOf(roomId('a'), version)),
})

const on = async (t: Test, fake: FakeQueue, given: Parameters<typeof open>[2] = {}) => {
  const queue = open(t, fake, given)
  await queue.start(() => 10)
  return queue
}

/** As the fold does it now and then: the row is stored, then the floor may rise to what is returned. */
const save = async (fake: FakeQueue, queue: QueueDevice): Promise<number> => {
  const { safe } = queue
  const { row, stored } = queue.take()
  fake.row = row
  stored()
  return safe
}

const idle = (queue: QueueDevice) => eventually('everything is written', () => queue.waiting === 0)

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

t.test('rows of a newer version are refused', async (t) => {
  t.throws(() => decodeRow(Uint8Array.of(0x94, 9, 1, 1, 1)), /newer version/)
})
