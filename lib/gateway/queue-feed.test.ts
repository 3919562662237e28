import t, { type Test } from 'tap'
import type { ConsumerState, PulledMessage, PullSink } from '../bus/bus.ts'
import { ERRORS, type Refusal, refuse } from '../errors.ts'
import type { DeviceId, RoomId, UserId } from '../ids.ts'
import { encodeFrame, readFrame } from '../protocol/codec.ts'
import type { AnyFrame } from '../protocol/frames.ts'
import { type QueueEntry, writeQueueEntry, writeQueueHead } from '../protocol/queue-entries.ts'
import { Reader } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'
import { eventually } from '../testing/eventually.ts'
import { eventFrame } from '../testing/gateway/scripted-host.ts'
import { pointerBytes, pointerOf, roomId } from '../testing/pointers.ts'
import { QueueFeed } from './queue-feed.ts'
import { QueueFeeds } from './queue-feeds.ts'
import { errorFrame } from './refusals.ts'
import type { Session } from './session.ts'

type Fetch = { readonly ticket: number; readonly room: RoomId; readonly frame: AnyFrame }

const NOTHING = { pending: 0, unacked: 0, floor: 0, waiting: 0 }

class FakeConsumer {
  state: ConsumerState | undefined = { ...NOTHING, created: 'first' }
  readonly calls: string[] = []
  wanted = 0
  stopped = 0
  sink: PullSink | undefined
  readonly acked: number[] = []
  failing = 0
  made = 0

  readonly streams = {
    consumer: async () => {
      this.calls.push('consumer')
      if (this.failing-- > 0) throw new Error('out of reach')
      return this.state
    },
    addConsumer: async () => {
      this.calls.push('add')
      this.state = { ...NOTHING, created: `made ${++this.made}` }
    },
    deleteConsumer: async () => void this.calls.push('delete'),
    pull: (_stream: string, _name: string, sink: PullSink) => {
      this.calls.push('pull')
      this.sink = sink
      this.wanted = 0
      return {
        want: (messages: number) => {
          this.wanted += messages
        },
        stop: () => {
          this.stopped++
        },
      }
    },
  }

  message(seq: number, ...entries: QueueEntry[]): void {
    const writer = writeQueueHead(new Writer(), 5)
    for (const entry of entries) writeQueueEntry(writer, entry)
    this.raw(seq, writer.take())
  }

  raw(seq: number, data: Uint8Array): void {
    const message: PulledMessage = {
      seq,
      subject: 'queue',
      data,
      time: 0,
      ack: () => void this.acked.push(seq),
    }
    this.wanted--
    this.sink!.onMessage(message)
  }
}

const pointer = (
  n: number,
  head: number,
  more: { after?: number; from?: number; room?: string } = {},
): QueueEntry => {
  const { after = head - 1, from = 1, room = 'a' } = more
  return {
    kind: 'pointer',
    n,
    stamp: 100 + n,
    after,
    pointer: pointerBytes(pointerOf(roomId(room), n, { head, from })),
  }
}

const page = (ticket: number, first: number, last: number, text = 'hi'): Uint8Array => {
  const events = []
  for (let seq = first; seq <= last; seq++) events.push(eventFrame(roomId('a'), seq, text))
  return encodeFrame('page', { req: ticket, room: roomId('a'), head: last, first: 1, events })
}

const start = async (t: Test, setUp: (consumer: FakeConsumer) => void = () => {}) => {
  const consumer = new FakeConsumer()
  setUp(consumer)
  const frames: AnyFrame[] = []
  const fetches: Fetch[] = []
  const failures: unknown[] = []
  const answer = { refusal: undefined as Refusal | undefined }
  const session = { user: 'uBot' as UserId, device: 'v1' as DeviceId, state: 'open' } as Session
  const deps = {
    streams: consumer.streams,
    consumer: () => ({ stream: 'QUEUE_0', config: { durable_name: 'v1' } }),
    push: (_session: Session, frame: Uint8Array) =>
      void frames.push(readFrame(new Reader(frame)) as AnyFrame),
    fetch: (_session: Session, ticket: number, room: RoomId, frame: Uint8Array) => {
      fetches.push({ ticket, room, frame: readFrame(new Reader(frame)) as AnyFrame })
      return answer.refusal
    },
    failed: (_session: Session, cause: unknown) => void failures.push(cause),
  }
  const feed = new QueueFeed(deps, session)
  t.teardown(() => feed.stop())
  await eventually('it pulls', () => consumer.sink !== undefined)
  const queued = () => frames.filter((frame) => frame.name === 'queued')
  return { consumer, frames, fetches, failures, feed, queued, answer, deps, session }
}

t.test('I5 entries become frames with their events, in order, whatever comes first', async (t) => {
  const { consumer, fetches, feed, queued } = await start(t)
  t.strictSame(consumer.calls, ['consumer', 'pull'])
  consumer.message(1, pointer(1, 5, { after: 2 }), pointer(2, 6))
  consumer.message(2, { kind: 'reset', n: 3, stamp: 103 })
  t.match(fetches, [
    { room: roomId('a'), frame: { name: 'fetch', from: 3, limit: 3, back: false } },
    { frame: { from: 6, limit: 1 } },
  ])
  feed.answered(fetches[1]!.ticket, page(fetches[1]!.ticket, 6, 6))
  t.equal(queued().length, 0, 'the first is not complete')
  feed.answered(fetches[0]!.ticket, page(fetches[0]!.ticket, 3, 5))
  t.match(queued(), [
    { n: 1, stamp: 101, reset: false, pointer: { head: 5 }, events: { length: 3 } },
    { n: 2, events: { length: 1 } },
    { n: 3, stamp: 103, reset: true, pointer: null, events: { length: 0 } },
  ])
  const [event] = queued()[0]!.events.map((bytes) => readFrame(new Reader(bytes)))
  t.match(event, { name: 'event', seq: 3 })
})

t.test('I5 a message is acknowledged with its last entry', async (t) => {
  const { consumer, feed, fetches } = await start(t)
  consumer.message(7, pointer(1, 5, { after: 5 }), pointer(2, 5, { after: 5 }))
  consumer.message(8, pointer(3, 5, { after: 5 }))
  t.equal(fetches.length, 0, 'nothing new in the room: nothing to fetch')
  t.equal(consumer.wanted, 30)
  feed.ack(1)
  t.strictSame(consumer.acked, [])
  feed.ack(2)
  t.strictSame(consumer.acked, [7])
  t.equal(consumer.wanted, 31, 'room for another')
  feed.ack(99)
  t.strictSame(consumer.acked, [7, 8])
  consumer.message(9, pointer(4, 5, { after: 5 }))
  t.strictSame(consumer.acked, [7, 8], 'not by an acknowledgement from before it was sent')
})

t.test(
  'I5 what comes again in a session is sent once, and acknowledged when it is known to be safe',
  async (t) => {
    const { consumer, feed, queued } = await start(t)
    const one = pointer(1, 5, { after: 5 })
    consumer.message(1, one)
    consumer.message(1, one)
    t.equal(queued().length, 1)
    t.equal(consumer.wanted, 31)
    feed.ack(1)
    t.strictSame(consumer.acked, [1])
    consumer.message(1, one)
    t.strictSame(consumer.acked, [1, 1], 'its acknowledgement was lost')
    t.equal(queued().length, 1)
  },
)

t.test('I5 only what the user may see, and a bounded piece of it', async (t) => {
  const { consumer, fetches } = await start(t)
  consumer.message(1, pointer(1, 500, { after: 0 }), pointer(2, 20, { after: 0, from: 18 }))
  t.match(fetches, [{ frame: { from: 437, limit: 64 } }, { frame: { from: 18, limit: 3 } }])
})

t.test(
  'I5 a room that refuses for now is asked again, then the entry goes without events',
  async (t) => {
    const { consumer, feed, fetches, queued } = await start(t)
    consumer.message(1, pointer(1, 5))
    feed.answered(fetches[0]!.ticket, errorFrame(fetches[0]!.ticket, refuse('overloaded')))
    await eventually('asked again', () => fetches.length === 2)
    feed.refused(fetches[1]!.ticket, refuse('unavailable'))
    await eventually('asked again', () => fetches.length === 3)
    t.equal(queued().length, 0)
    feed.answered(fetches[2]!.ticket, errorFrame(fetches[2]!.ticket, refuse('not_member')))
    await eventually('it is sent', () => queued().length === 1)
    t.match(queued(), [{ n: 1, pointer: { head: 5 }, events: { length: 0 } }])
    feed.answered(fetches[2]!.ticket, page(fetches[2]!.ticket, 5, 5))
    feed.refused(12345, refuse('unavailable'))
    t.equal(queued().length, 1, 'a late answer changes nothing')
  },
)

t.test('I5 a gateway that can not ask at all sends the entry after some tries', async (t) => {
  const { consumer, queued, answer, fetches } = await start(t)
  answer.refusal = refuse('overloaded')
  consumer.message(1, pointer(1, 5))
  await eventually('it is sent', () => queued().length === 1)
  t.equal(fetches.length, 5)
  t.ok(ERRORS.overloaded.temporary)
})

t.test('I5 not more is sent than a bound before the device acknowledges', async (t) => {
  const { consumer, feed, fetches, queued } = await start(t)
  const entries = Array.from({ length: 100 }, (_, i) => pointer(i + 1, 10 + i, { after: 9 + i }))
  consumer.message(1, ...entries)
  t.equal(fetches.length, 16, 'nor asked for at once')
  for (let i = 0; i < fetches.length; i++) {
    const { ticket } = fetches[i]!
    feed.answered(ticket, page(ticket, 10 + i, 10 + i, 'x'.repeat(30_000)))
  }
  const sent = queued().length
  t.ok(sent > 10 && sent < 25, `${sent} of 100`)
  feed.ack(sent)
  t.equal(queued().length, 2 * sent)
  for (let i = 0; i < queued().length; i++) t.equal(queued()[i]!.n, i + 1)
})

t.test(
  'I5 what another session left unacknowledged comes first: its consumer is made anew',
  async (t) => {
    const { consumer } = await start(t, (fake) => {
      fake.state = { pending: 3, unacked: 2, floor: 4, waiting: 0, created: 'first' }
    })
    t.strictSame(consumer.calls, ['consumer', 'delete', 'add', 'consumer', 'pull'])
    const gone = await start(t, (fake) => {
      fake.state = undefined
    })
    t.strictSame(gone.consumer.calls, ['consumer', 'add', 'consumer', 'pull'])
  },
)

t.test('I5 the session that began last is fed', async (t) => {
  const later = await start(t, (fake) => {
    fake.state = { ...NOTHING, waiting: 1, created: 'by the first' }
  })
  t.strictSame(later.consumer.calls, ['consumer', 'delete', 'add', 'consumer', 'pull'])

  const { consumer, failures } = await start(t)
  consumer.state = { ...NOTHING, waiting: 1, created: 'by the other' }
  consumer.sink!.onEnd('somebody else takes messages of the consumer')
  await eventually('it looks', () => consumer.calls.at(-1) === 'consumer')
  await eventually('it has seen', () => consumer.calls.length === 3)
  t.strictSame(consumer.calls, ['consumer', 'pull', 'consumer'], 'it leaves the other in peace')
  t.equal(failures.length, 1)
})

t.test('I5 interrupted, it begins again where the device has acknowledged', async (t) => {
  const { consumer, feed, queued, failures, fetches } = await start(t)
  consumer.message(1, pointer(1, 5, { after: 5 }))
  consumer.message(2, pointer(2, 6))
  consumer.failing = 1
  consumer.sink!.onEnd('the connection was interrupted')
  feed.answered(fetches[0]!.ticket, page(fetches[0]!.ticket, 6, 6))
  await eventually(
    'it pulls again',
    () => consumer.calls.filter((call) => call === 'pull').length === 2,
  )
  t.equal(failures.length, 2)
  consumer.message(1, pointer(1, 5, { after: 5 }))
  consumer.message(2, pointer(2, 6))
  feed.answered(fetches[1]!.ticket, page(fetches[1]!.ticket, 6, 6))
  t.strictSame(
    queued().map(({ n }) => n),
    [1, 2],
    'each once',
  )
  feed.ack(2)
  t.strictSame(consumer.acked, [1, 2])
})

t.test('a message that can not be read is told of and let go', async (t) => {
  const { consumer, failures } = await start(t)
  consumer.raw(1, Uint8Array.of(9))
  t.strictSame([consumer.acked, failures.length, consumer.wanted], [[1], 1, 32])
})

t.test('stopped, it takes nothing more', async (t) => {
  const { consumer, feed } = await start(t)
  feed.stop()
  t.equal(consumer.stopped, 1)
  consumer.sink!.onEnd('the connection is closed')
  t.strictSame(consumer.calls, ['consumer', 'pull'])
})

t.test('the table of feeds: one a session, for open sessions', async (t) => {
  const { deps, session } = await start(t)
  const feeds = new QueueFeeds(deps)
  t.teardown(() => feeds.stopAll())
  t.equal(feeds.ack(session, 1), false)
  feeds.start({ ...session, state: 'closed' } as Session)
  t.equal(feeds.count, 0)
  feeds.start(session)
  feeds.start(session)
  t.equal(feeds.count, 1)
  t.equal(feeds.ack(session, 1), true)
  feeds.answered(session, 1, Uint8Array.of(0x90))
  feeds.refused(session, 1, refuse('unavailable'))
  feeds.stop(session)
  t.equal(feeds.count, 0)
})
