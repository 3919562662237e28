import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import type { AppendReply, StoredMessage } from '../bus/bus.ts'
import { encodeBatch, type LogRecord } from '../protocol/records.ts'
import { eventually } from '../testing/eventually.ts'
import { TestClock } from '../testing/test-clock.ts'
import { LogWriter } from './log-writer.ts'

const EPOCH = 7
const EMPTY: readonly LogRecord[] = [{ kind: 'tick' }]
const batch = (number: number, epoch = EPOCH, view = 1) =>
  encodeBatch({ epoch, number, prev: EPOCH, view, records: EMPTY })
const acked = (seq: number): AppendReply => ({ ok: true, seq, stream: 'LOG_0' })
const refused = (code: number, last?: number): AppendReply => ({
  ok: false,
  code,
  last,
  text: `refused ${code}`,
})
const wrongLast = (last: number) => refused(10071, last)

const stage = () => {
  const clock = new TestClock()
  const attempts: { bytes: Uint8Array; expected: number; number: number; attempt: number }[] = []
  const stored = new Map<number, StoredMessage>()
  const reads: number[] = []
  const told: unknown[][] = []
  let read = async (seq: number) => stored.get(seq)
  const writer = new LogWriter(
    {
      append: (bytes, expected, number, attempt) =>
        attempts.push({ bytes: bytes.slice(), expected, number, attempt }),
      get: (seq) => {
        reads.push(seq)
        return read(seq)
      },
    },
    {
      committed: (seq, sentAt) => told.push(['committed', seq, sentAt]),
      fenced: (view) => told.push(['fenced', view]),
      damaged: () => told.push(['damaged']),
      alarm: () => told.push(['alarm']),
      doubt: (code) => told.push(['doubt', code]),
    },
    clock,
    EPOCH,
  )
  return {
    clock,
    writer,
    attempts,
    reads,
    /** What the partition was told, doubts apart. */
    get told() {
      return told.filter(([what]) => what !== 'doubt')
    },
    doubts: () => told.filter(([what]) => what === 'doubt').map(([, code]) => code),
    store: (seq: number, data: Uint8Array) =>
      stored.set(seq, { seq, data, subject: 'log.0', time: 0 }),
    readBy: (by: typeof read) => {
      read = by
    },
    attempt: (n: number) => eventually(`attempt ${n}`, () => attempts.length > n),
  }
}

t.test('L1 L5 one batch at a time, its bytes frozen: every attempt is the same', async (t) => {
  const its = stage()
  its.writer.commit(1, batch(1))
  t.throws(() => its.writer.commit(2, batch(2)), /undecided/)
  for (const code of [503, 10164, 10077, 500]) {
    const before = its.attempts.length
    its.writer.reply(1, before - 1, refused(code))
    await its.attempt(before)
  }
  t.same(its.told, [], 'nothing is decided')
  t.same(its.doubts(), [503, 10164, 10077, 500])
  for (const [i, { bytes, expected, number, attempt }] of its.attempts.entries()) {
    t.same(bytes, batch(1))
    t.match({ expected, number, attempt }, { expected: EPOCH, number: 1, attempt: i })
  }
  t.equal(its.attempts.length, 5)
  t.same(its.reads, [], 'no read decides')
  its.writer.reply(1, 2, acked(9))
  t.match(its.told, [['committed', 9]], 'by the ack of whichever attempt')
  its.writer.commit(2, batch(2))
  t.equal(its.attempts.at(-1)?.expected, 9, 'the next one follows it')
})

t.test('L6 a reply that is not about the undecided batch is ignored', async (t) => {
  const its = stage()
  its.writer.reply(1, 0, acked(8))
  its.writer.commit(1, batch(1))
  its.writer.reply(2, 0, acked(8))
  its.writer.reply(0, 0, wrongLast(12))
  t.same([its.told, its.doubts(), its.reads], [[], [], []])
  its.writer.reply(1, 0, acked(8))
  its.writer.commit(2, batch(2))
  for (const late of [acked(9), wrongLast(9), refused(503)]) its.writer.reply(1, 1, late)
  t.match(its.told, [['committed', 8]])
  t.same([its.doubts(), its.reads], [[], []])
  t.equal(its.writer.last, 8)
})

t.test('L7 the record that stands in its place is its own: committed once', async (t) => {
  const its = stage()
  its.writer.commit(1, batch(1))
  its.store(8, batch(1))
  its.writer.reply(1, 1, wrongLast(8))
  its.writer.reply(1, 2, wrongLast(8))
  await eventually('committed', () => its.told.length > 0)
  its.writer.reply(1, 0, acked(8))
  t.match(its.told, [['committed', 8]])
  t.equal(its.reads.length, 1)
  t.equal(its.writer.last, 8)
})

t.test('L7 the ack of an earlier attempt comes while the record is read', async (t) => {
  const its = stage()
  const { promise, resolve } = Promise.withResolvers<StoredMessage | undefined>()
  its.readBy(() => promise)
  its.writer.commit(1, batch(1))
  its.writer.reply(1, 1, wrongLast(8))
  its.writer.reply(1, 0, acked(8))
  its.writer.commit(2, batch(2))
  resolve({ seq: 8, data: batch(1, 99), subject: 'log.0', time: 0 })
  await eventually('read', () => its.reads.length === 1)
  await pause(1)
  t.same(
    its.told.map(([what]) => what),
    ['committed'],
    'what the read says is late',
  )
})

t.test('L7 L9 a record of another epoch: fenced, and nothing is sent any more', async (t) => {
  const its = stage()
  const epoch = { kind: 'epoch', nonce: 'n', incarnation: 'h2', host: 'b' } as const
  its.writer.commit(1, batch(1))
  its.store(8, encodeBatch({ epoch: 0, number: 0, prev: 7, view: 5, records: [epoch] }))
  its.writer.reply(1, 0, refused(503))
  its.writer.reply(1, 0, wrongLast(8))
  await eventually('fenced', () => its.told.length > 0)
  t.same(its.told, [['fenced', 5]])
  const before = its.attempts.length
  its.clock.pass(60_000)
  its.writer.pulse(true)
  its.writer.reply(1, 0, acked(8))
  its.writer.commit(2, batch(2))
  t.equal(its.attempts.length, before)
  t.same(its.told, [['fenced', 5]], 'for good')
})

t.test('L7 a record that only a newer version can read is not ours: fenced', async (t) => {
  const its = stage()
  its.writer.commit(1, batch(1))
  its.store(8, Uint8Array.of(99, 1, 2, 3))
  its.writer.reply(1, 0, wrongLast(8))
  await eventually('fenced', () => its.told.length > 0)
  t.same(its.told, [['fenced', 0]])
})

t.test('L7 another batch of its own epoch: stops loudly', async (t) => {
  const its = stage()
  its.writer.commit(1, batch(1))
  its.store(8, batch(3))
  its.writer.reply(1, 0, wrongLast(8))
  await eventually('stopped', () => its.told.length > 0)
  t.same(its.told, [['damaged']])
  its.clock.pass(5000)
  its.writer.pulse(true)
  t.equal(its.attempts.length, 1)
})

t.test(
  'L7 a replica that lacks the record is asked 8 times, then the same bytes again',
  async (t) => {
    const its = stage()
    its.writer.commit(1, batch(1))
    its.writer.reply(1, 0, wrongLast(8))
    await its.attempt(1)
    t.same(its.reads, Array(8).fill(8))
    t.match(its.attempts[1], { bytes: batch(1), expected: EPOCH, number: 1, attempt: 1 })
    its.store(9, batch(1))
    its.writer.reply(1, 1, wrongLast(9))
    await eventually('committed', () => its.told.length > 0)
    t.match(its.told, [['committed', 9]], 'by the fresh answer')
  },
)

t.test('L7 a read that fails, or hangs, does not hold up the next attempt', async (t) => {
  const its = stage()
  its.readBy(() => Promise.reject(new Error('no leader')))
  its.writer.commit(1, batch(1))
  its.writer.reply(1, 0, wrongLast(8))
  await its.attempt(1)
  t.equal(its.reads.length, 1)
  its.readBy(() => new Promise(() => undefined))
  its.writer.reply(1, 1, wrongLast(8))
  its.clock.pass(1000)
  its.writer.pulse()
  t.equal(its.attempts.length, 3)
})

t.test('L8 no reply in 1 s, or a reconnect: the same bytes again', async (t) => {
  const its = stage()
  its.writer.pulse(true)
  its.writer.commit(1, batch(1))
  its.clock.pass(999)
  its.writer.pulse()
  t.equal(its.attempts.length, 1)
  its.clock.pass(1)
  its.writer.pulse()
  t.equal(its.attempts.length, 2)
  its.writer.pulse()
  t.equal(its.attempts.length, 2)
  its.writer.pulse(true)
  t.equal(its.attempts.length, 3)
  for (const { bytes } of its.attempts) t.same(bytes, batch(1))
})

t.test('L8 an attempt that waits for its turn is not sent by a pulse, too', async (t) => {
  const its = stage()
  its.writer.commit(1, batch(1))
  its.writer.reply(1, 0, refused(10164))
  its.writer.reply(1, 0, refused(10164))
  its.clock.pass(1000)
  its.writer.pulse()
  t.equal(its.attempts.length, 1, 'the back-off goes on')
  await its.attempt(1)
  t.equal(its.attempts.length, 2)
})

t.test('L8 a stop ends the back-off', async (t) => {
  const its = stage()
  its.writer.commit(1, batch(1))
  its.writer.reply(1, 0, refused(10164))
  its.writer.stop()
  // The first back-off is 3 ms at most.
  await pause(5)
  t.equal(its.attempts.length, 1)
})

t.test(
  'L7 a log that ends before its own last record: an alarm, after 30 s of it a stop',
  async (t) => {
    const its = stage()
    its.writer.commit(1, batch(1))
    let sent = 1
    const shorter = async (reply = wrongLast(3)) => {
      its.writer.reply(1, sent - 1, reply)
      await its.attempt(sent)
      sent++
    }
    await shorter()
    await shorter()
    t.same(its.told, [['alarm']], 'said once')
    its.clock.pass(30_000)
    await shorter(refused(503))
    its.clock.pass(20_000)
    await shorter(wrongLast(EPOCH))
    t.same(its.told, [['alarm'], ['alarm']], 'it did not persist')
    its.clock.pass(30_000)
    await shorter()
    its.clock.pass(1)
    its.writer.reply(1, sent - 1, wrongLast(3))
    t.same(its.told.at(-1), ['damaged'])
    t.same(its.reads, [], 'reading would tell nothing')
  },
)

t.test('L10 a commit tells when its first attempt was sent', async (t) => {
  const its = stage()
  const sentAt = its.clock.monotonic()
  its.writer.commit(1, batch(1))
  its.clock.pass(1000)
  its.writer.pulse()
  its.clock.pass(500)
  its.writer.reply(1, 1, acked(8))
  t.same(its.told, [['committed', 8, sentAt]])
})
