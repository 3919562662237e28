/** The durable queue of one device without JetStream. */
import type { Test } from 'tap'
import type { QueueBacklog } from '../actor/queue-device.ts'
import { QueueDevice, type QueueLimits, type QueuePort } from '../actor/queue-device.ts'
import { decodeRow } from '../actor/queue-row.ts'
import type { AppendReply } from '../bus/bus.ts'
import { ParleyError } from '../errors.ts'
import type { DeviceId, UserId } from '../ids.ts'
import { type QueueEntry, readQueueMessage } from '../protocol/queue-entries.ts'
import type { UserRow } from '../store/state/state.ts'
import { eventually } from './eventually.ts'
import { pointerBytes, pointerOf, roomId } from './pointers.ts'

export const BOT = 'uBot' as UserId
export const V1 = 'v1' as DeviceId
export const EPOCH = 1000

/** The device's subject, its consumer and its row, each of which may fail. */
export class FakeQueue {
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
    consumer: async (): Promise<QueueBacklog | undefined> => {
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

export const openQueue = (
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

export const queued = (version: number, after = 0) => ({
  after,
  pointer: pointerBytes(pointerOf(roomId('a'), version)),
})

export const startQueue = async (
  t: Test,
  fake: FakeQueue,
  given: Parameters<typeof openQueue>[2] = {},
) => {
  const queue = openQueue(t, fake, given)
  await queue.start(() => 10)
  return queue
}

/** As the fold does it now and then: the row is stored, then the floor may rise to what is returned. */
export const saveRow = async (fake: FakeQueue, queue: QueueDevice): Promise<number> => {
  const { safe } = queue
  const { row, stored } = queue.take()
  fake.row = row
  stored()
  return safe
}

export const idle = (queue: QueueDevice) =>
  eventually('everything is written', () => queue.waiting === 0)
