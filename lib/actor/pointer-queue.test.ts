import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { AppendReply } from '../bus/bus.ts'
import type { UserId } from '../ids.ts'
import { readInbox } from '../protocol/inbox.ts'
import { pointerHead } from '../protocol/queue-entries.ts'
import { pointerBytes, pointerOf, roomId } from '../testing/pointers.ts'
import { TestClock } from '../testing/test-clock.ts'
import { PointerQueue, type Ticket } from './pointer-queue.ts'

const ANN = 'uAnn' as UserId
const BOB = 'uBob' as UserId
const OK: AppendReply = { ok: true, seq: 1, stream: 'INBOX_0' }
const NO: AppendReply = { ok: false, code: 503, last: undefined, text: 'nobody answers' }

type Batch = { readonly p: number; readonly batch: number; readonly bytes: Uint8Array }

const start = (partitionOf: (user: UserId) => number = () => 0) => {
  const clock = new TestClock()
  const sent: Batch[] = []
  const queue = new PointerQueue(
    { append: (p, bytes, batch) => void sent.push({ p, bytes, batch }) },
    2,
    partitionOf,
    clock,
  )
  let done = 0
  const ticket = (): Ticket => ({ left: 1, done: () => void done++ })
  const offer = (
    user: UserId,
    room: string,
    version: number,
    its: Ticket = ticket(),
    flags = 0,
  ) => {
    const id = roomId(room)
    queue.offer(user, id, version, pointerBytes(pointerOf(id, version, { flags })), its)
    return its
  }
  return { clock, sent, queue, offer, ticket, done: () => done }
}

const entriesOf = ({ bytes }: Batch): string[] => {
  const entries: string[] = []
  readInbox(bytes, (entry) => {
    if (entry.kind !== 'pointer') throw new Error(entry.kind)
    t.equal(pointerHead(entry.pointer).room, entry.room)
    entries.push(`${entry.user} ${entry.room} ${entry.version}`)
  })
  return entries
}
const line = (user: UserId, room: string, version: number) => `${user} ${roomId(room)} ${version}`

t.test('I2 a pointer is safe when its batch is acknowledged, and not before', async (t) => {
  const { queue, offer, sent, done } = start()
  offer(ANN, 'a', 1)
  t.equal(sent.length, 0, 'until the flush')
  queue.flush()
  t.strictSame(sent.map(entriesOf), [[line(ANN, 'a', 1)]])
  t.equal(done(), 0)
  queue.reply(0, sent[0]!.batch, NO)
  t.equal(done(), 0, 'refused')
  queue.reply(0, sent[0]!.batch + 7, OK)
  t.equal(done(), 0, 'of another batch')
  queue.reply(0, sent[0]!.batch, OK)
  t.equal(done(), 1)
  queue.reply(0, sent[0]!.batch, OK)
  t.equal(done(), 1, 'once')
  t.equal(queue.size, 0)
})

t.test('I2 what is not acknowledged is sent again, with the same bytes', async (t) => {
  const { queue, offer, sent, clock, done } = start()
  offer(ANN, 'a', 1)
  queue.flush()
  offer(ANN, 'a', 2)
  queue.flush()
  t.equal(sent.length, 1, 'one batch in flight')
  clock.pass(900)
  queue.pulse()
  t.equal(sent.length, 1)
  clock.pass(100)
  queue.pulse()
  t.equal(sent.length, 2)
  queue.pulse(true)
  t.equal(sent.length, 3, 'at once after a reconnect')
  t.strictSame(sent[2], sent[0])
  queue.reply(0, sent[0]!.batch, OK)
  t.equal(done(), 1, 'the newer state is another pointer')
  t.strictSame(entriesOf(sent[3]!), [line(ANN, 'a', 2)])
  queue.reply(0, sent[3]!.batch, OK)
  t.equal(done(), 2)
})

t.test(
  'I1 I2 what waits is replaced by the newer state of the room, and both are safe with it',
  async (t) => {
    const { queue, offer, sent, done } = start()
    offer(ANN, 'a', 5)
    offer(ANN, 'a', 7)
    offer(ANN, 'a', 6)
    offer(BOB, 'a', 5)
    t.equal(queue.size, 2)
    queue.flush()
    t.strictSame(sent.map(entriesOf), [[line(ANN, 'a', 7), line(BOB, 'a', 5)]])
    queue.reply(0, sent[0]!.batch, OK)
    t.equal(done(), 4)
  },
)

t.test('I4 a removal takes the place of what is pending', async (t) => {
  const { queue, offer, sent, ticket } = start()
  offer(ANN, 'a', 5)
  offer(ANN, 'a', 6, ticket(), 1)
  queue.flush()
  const flags: number[] = []
  readInbox(sent[0]!.bytes, (entry) => {
    if (entry.kind === 'pointer') flags.push(entry.version)
  })
  t.strictSame(flags, [6], 'nothing of what it may not see any more is sent')
})

t.test('L0 I2 held back while the inbox is nearly full, and only what goes there', async (t) => {
  const { queue, offer, sent } = start((user) => (user === ANN ? 0 : 1))
  const hold = (held: boolean) => queue.hold((p) => p === 0, held)
  hold(true)
  offer(ANN, 'a', 1)
  offer(BOB, 'a', 1)
  queue.flush()
  t.strictSame(sent.map(entriesOf), [[line(BOB, 'a', 1)]])
  hold(false)
  queue.flush()
  t.strictSame(entriesOf(sent[1]!), [line(ANN, 'a', 1)])
  offer(ANN, 'a', 2)
  hold(true)
  queue.reply(0, sent[1]!.batch, OK)
  t.equal(sent.length, 2, 'nor after an acknowledgement')
  t.equal(queue.size, 2)
})

t.test('L9 the pointers of a partition that is another host’s are forgotten', async (t) => {
  const { queue, offer, sent, done } = start()
  offer(ANN, 'gone', 1)
  offer(ANN, 'stays', 1)
  queue.discard((room) => room === roomId('gone'))
  queue.flush()
  t.strictSame(entriesOf(sent[0]!), [line(ANN, 'stays', 1)])
  queue.reply(0, sent[0]!.batch, OK)
  t.equal(done(), 1)
})

t.test('one batch per partition, each bounded in bytes and in pointers of one user', async (t) => {
  const { queue, offer, sent } = start((user) => (user === ANN ? 0 : 1))
  for (let i = 0; i < 150; i++) offer(ANN, `a${i}`, 1)
  offer(BOB, 'b', 1)
  queue.flush()
  t.strictSame(
    sent.map(({ p }) => p),
    [0, 1],
  )
  t.equal(entriesOf(sent[0]!).length, 100)
  queue.reply(0, sent[0]!.batch, OK)
  t.equal(entriesOf(sent[2]!).length, 50)
  for (let i = 0; i < 6000; i++) offer(`u${i}` as UserId, 'b', 1)
  queue.reply(1, sent[1]!.batch, OK)
  queue.flush()
  t.ok(sent.at(-1)!.bytes.length < 256 * 1024)
})

t.test('I2 no ticket is done before JetStream has its state or a newer one', async () => {
  const step = fc.oneof(
    fc.record({ offer: fc.integer({ min: 0, max: 3 }), version: fc.integer({ min: 1, max: 50 }) }),
    fc.constantFrom('flush', 'ack', 'refuse', 'pulse', 'lost'),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { queue, sent, clock } = start()
      const kept = new Map<string, number>()
      let answered = 0
      for (const one of steps) {
        if (one === 'flush') queue.flush()
        else if (one === 'pulse') {
          clock.pass(1000)
          queue.pulse()
        } else if (one === 'lost') queue.pulse(true)
        else if (one === 'ack' || one === 'refuse') {
          const batch = sent[answered]
          if (batch === undefined) continue
          answered++
          if (one === 'ack') {
            readInbox(batch.bytes, (entry) => {
              if (entry.kind !== 'pointer') return
              kept.set(entry.room, Math.max(entry.version, kept.get(entry.room) ?? 0))
            })
          }
          queue.reply(0, batch.batch, one === 'ack' ? OK : NO)
        } else {
          const room = roomId(one.offer)
          const done = () => assert.ok((kept.get(room) ?? 0) >= one.version)
          const bytes = pointerBytes(pointerOf(room, one.version))
          queue.offer(ANN, room, one.version, bytes, { left: 1, done })
        }
      }
    }),
  )
})
