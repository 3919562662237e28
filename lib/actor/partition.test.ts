import t from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { ANN, BEN, CAT, commands, EVE, GROUP } from '../../actors/room/scene.ts'
import { errorByNumber, ParleyError } from '../errors.ts'
import type { RoomId } from '../ids.ts'
import type { HistoryRow } from '../store/history/history.ts'
import { eventFrame } from '../testing/gateway/scripted-host.ts'
import { EPOCH, partitionStage, type Told } from '../testing/partition-stage.ts'
import { LEASE_MS } from './lease.ts'

const behavior = createRoomBehavior()
const OTHER = 'gZYXWVUTSRQPONMLKJIHGF' as RoomId
const its = commands(GROUP)
const text = 'x'.repeat(8000)

/** A group of Ann, Ben and Cat, created and committed; a lease is held. */
const stage = (given: Parameters<typeof partitionStage>[1] = {}) => {
  const it = partitionStage(behavior, given)
  return {
    ...it,
    ready: async (room = GROUP) => {
      it.ask(ANN, room, commands(room).create({ n: 1 }, [BEN, CAT]))
      await new Promise(setImmediate)
      it.settle()
      it.live.length = 0
      it.inbox.length = 0
      return it
    },
  }
}
const seqs = (told: Told) =>
  told.finals.map((frame) => (frame.name === 'ack' ? frame.seq : frame.name))
const codes = (told: Told) =>
  [...told.finals, ...told.laters].map((frame) =>
    frame.name === 'error' ? errorByNumber(frame.code) : frame.name,
  )

t.test('L1 what one turn brings is one batch; what comes meanwhile is the next', async (t) => {
  const it = await stage().ready()
  const before = it.appends.length
  const first = [1, 2, 3].map((n) =>
    it.ask(BEN, GROUP, its.send({ n, lineage: 5, join: 1 }, `${n}`)),
  )
  t.equal(it.appends.length, before, 'nothing is sent within the turn')
  it.turn()
  const second = it.ask(CAT, GROUP, its.send({ n: 1, lineage: 6, join: 1 }, 'next'))
  it.turn()
  it.turn()
  t.equal(it.appends.length, before + 1, 'one is on its way')
  const [one] = it.appends.slice(before)
  t.match(one, { expected: EPOCH + 1, batch: { epoch: EPOCH, prev: EPOCH + 1, view: 1 } })
  t.equal(one?.batch.records.length, 3)
  it.ack()
  t.same(first.map(seqs), [[2], [3], [4]])
  t.ok(second.nothing)
  it.turn()
  t.match(it.appends.at(-1), { expected: EPOCH + 2, number: one!.number + 1 })
  it.ack()
  t.same(seqs(second), [5])
})

t.test('L1 a batch never weighs more than 256 KiB, whatever waits', async (t) => {
  const it = await stage().ready()
  const before = it.appends.length
  const told = Array.from({ length: 100 }, (_, i) =>
    it.ask(BEN, GROUP, its.send({ n: i + 1, low: Math.max(1, i - 30), lineage: 5, join: 1 }, text)),
  )
  it.settle()
  const weights = it.appends.slice(before).map(({ bytes }) => bytes.length)
  t.ok(weights.length >= 4)
  for (const weight of weights) t.ok(weight <= 256 * 1024, `${weight} bytes`)
  t.same(
    told.map(seqs),
    told.map((_, i) => [i + 2]),
  )
})

t.test(
  'L2 a batch tells its epoch, number, what it follows and the view of its writer',
  async (t) => {
    const it = await stage().ready()
    it.on.view = 9
    it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'a'))
    it.turn()
    const position = it.ack()
    it.ask(BEN, GROUP, its.send({ n: 2, lineage: 5, join: 1 }, 'b'))
    it.turn()
    t.match(it.appends.at(-1)?.batch, { epoch: EPOCH, number: 3, prev: position, view: 9 })
  },
)

t.test('L3 nothing derived from an undecided batch leaves before it is committed', async (t) => {
  const it = await stage().ready()
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided'))
  it.turn()
  it.ask(CAT, GROUP, its.send({ n: 1, lineage: 6, join: 1 }, 'pending'))
  const derived = {
    'an ack of a resend': it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided')),
    'an ack of what was committed before': it.ask(ANN, GROUP, its.create({ n: 1 }, [BEN, CAT])),
    'a conflict': it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'another')),
    'out of order': it.ask(BEN, GROUP, its.send({ n: 4, lineage: 5, join: 1, low: 1 }, 'early')),
    'not a member': it.ask(EVE, GROUP, its.send({ n: 1, lineage: 7 }, 'hello')),
    'room info': it.ask(CAT, GROUP, its.open()),
    'a page': it.ask(CAT, GROUP, its.fetch(1, 10)),
    'a mark that changes nothing': it.ask(ANN, GROUP, its.read(0, 0)),
    'a read mark': it.ask(BEN, GROUP, its.read(3, 3)),
    'what nobody may read': it.ask(EVE, GROUP, its.fetch(1, 10)),
  }
  const user = it.answer(ANN)
  it.clock.pass(400)
  for (let i = 0; i < 3; i++) {
    it.turn()
    it.partition.pulse(false)
    it.pointers.flush()
  }
  await new Promise(setImmediate)
  for (const [what, told] of Object.entries(derived)) t.ok(told.nothing, what)
  t.equal(user.ran(), 0, 'an answer of a user’s actor')
  t.same([it.live, it.inbox, it.saved], [[], [], []], 'frames, pointers, snapshots')

  it.ack()
  await new Promise(setImmediate)
  t.same(
    it.live.map(({ user, frame }) => [user, frame.name]),
    [ANN, BEN, CAT].map((user) => [user, 'event']),
    'the event of the first batch',
  )
  for (const [what, told] of Object.entries(derived))
    t.ok(told.nothing, `${what}: the second batch`)
  it.turn()
  it.ack()
  await new Promise(setImmediate)
  for (const [what, told] of Object.entries(derived)) t.equal(told.all.length, 1, what)
  t.equal(user.ran(), 1)
  t.same(
    it.live.slice(3).map(({ user, frame }) => [user, frame.name]),
    [...[ANN, BEN, CAT].map((user) => [user, 'event']), [ANN, 'mark'], [CAT, 'mark']],
    'the event and the mark of the second batch',
  )
  const page = derived['a page'].finals[0]
  t.equal(page?.name === 'page' && page.head, 3)
})

t.test('L3 what derives from no actor state leaves at once', async (t) => {
  const it = await stage({ textBytes: 100 }).ready()
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided'))
  it.turn()
  t.same(codes(it.ask(BEN, GROUP, its.send({ n: 2, lineage: 5, join: 1 }, 'x'.repeat(101)))), [
    'too_large',
  ])
  it.on.full = true
  const full = it.ask(BEN, GROUP, its.send({ n: 2, lineage: 5, join: 1 }, 'x'))
  t.same([full.finals.length, codes(full)], [0, ['overloaded']], 'L0 overloaded, for now')
  t.ok(it.ask(BEN, GROUP, its.open()).nothing, 'L0 reads go on, and wait')
  it.partition.drain()
  t.same(it.ask(BEN, GROUP, its.send({ n: 2, lineage: 5, join: 1 }, 'x')).all, ['moved'])
  t.same(it.answer(BEN).told.all, ['moved'])
})

t.test('L3 a read that has waited 2 s is refused for now; a write waits on', async (t) => {
  const it = await stage().ready()
  const write = it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided'))
  it.turn()
  it.clock.pass(500)
  const reads = [it.ask(CAT, GROUP, its.open()), it.ask(CAT, GROUP, its.fetch(1, 10))]
  const user = it.answer(CAT)
  const resend = it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided'))
  it.clock.pass(1000)
  const later = it.ask(CAT, GROUP, its.open())
  it.clock.pass(999)
  it.partition.pulse(false)
  for (const told of [...reads, user.told, later]) t.ok(told.nothing, 'not yet')
  it.clock.pass(1)
  it.partition.pulse(false)
  for (const told of [...reads, user.told]) {
    t.same([told.finals.length, codes(told)], [0, ['unavailable']])
  }
  t.match(user.told.laters[0], { req: 7 })
  t.ok(write.nothing)
  t.ok(resend.nothing)
  t.ok(later.nothing)
  it.ack()
  it.settle()
  await new Promise(setImmediate)
  t.same([seqs(write), seqs(resend), later.all], [[2], [2], ['info']])
  it.clock.pass(5000)
  it.partition.pulse(false)
  it.partition.stop()
  for (const told of [...reads, user.told, later]) t.equal(told.all.length, 1, 'answered once')
  t.equal(user.ran(), 0)
})

t.test('L3 L9 a read that was refused for now is not told anything else', async (t) => {
  const it = await stage().ready()
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided'))
  it.turn()
  const read = it.ask(CAT, GROUP, its.open())
  it.clock.pass(2000)
  it.partition.pulse(false)
  it.partition.stop()
  t.same([codes(read), read.moved], [['unavailable'], 0])
})

t.test('L9 a stopped partition does not go on to write', async (t) => {
  const it = await stage().ready()
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided'))
  it.turn()
  const { length } = it.appends
  it.partition.stop()
  it.clock.pass(5000)
  it.partition.pulse(true)
  it.partition.tick()
  it.turn()
  t.equal(it.appends.length, length)
})

t.test('L3 an answer that waits for one proof after the other waits 2 s in all', async (t) => {
  const it = await stage().ready()
  it.clock.pass(LEASE_MS)
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided'))
  it.turn()
  const read = it.ask(CAT, GROUP, its.open())
  it.clock.pass(1500)
  it.ack()
  it.turn()
  t.ok(read.nothing, 'no lease: it waits for the next batch')
  it.clock.pass(500)
  it.partition.pulse(false)
  t.same(codes(read), ['unavailable'])
})

t.test('L9 fenced: whoever waits is told that it moved, and nothing else leaves', async (t) => {
  const it = await stage().ready()
  const undecided = [
    it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided')),
    it.ask(CAT, GROUP, its.read(1, 1)),
  ]
  it.turn()
  const pending = [
    it.ask(BEN, GROUP, its.send({ n: 2, lineage: 5, join: 1, low: 1 }, 'pending')),
    it.ask(CAT, GROUP, its.open()),
    it.ask(BEN, OTHER, commands(OTHER).open()),
  ]
  const user = it.answer(CAT)
  it.clock.pass(400)
  it.partition.pulse(false)
  const append = it.appends.at(-1)!
  it.records.set(append.expected + 1, {
    seq: append.expected + 1,
    subject: 'log.3',
    time: 0,
    // Another owner's record.
    data: Uint8Array.of(1, 0, 0, append.expected, 7),
  })
  it.reply({ ok: false, code: 10071, last: append.expected + 1, text: 'wrong last sequence' })
  await new Promise(setImmediate)
  t.same(it.told, ['lost to view 7'])
  for (const told of [...undecided, ...pending, user.told]) t.same(told.all, ['moved'])
  t.equal(user.ran(), 0)

  const appends = it.appends.length
  it.ack()
  it.turn()
  it.clock.pass(60_000)
  it.partition.pulse(true)
  it.partition.tick()
  it.turn()
  it.pointers.flush()
  await new Promise(setImmediate)
  t.equal(it.appends.length, appends)
  t.same([it.live, it.inbox, it.saved, it.checkpoints], [[], [], [], []])
  for (const told of [...undecided, ...pending]) t.equal(told.all.length, 1)
  t.same(it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided')).all, ['moved'])
})

t.test('L9 a page that was being read when it was fenced is not sent', async (t) => {
  for (const outcome of ['read', 'failed'] as const) {
    const { promise, resolve, reject } = Promise.withResolvers<HistoryRow[]>()
    const it = await stage({ history: () => promise }).ready()
    it.on.historyFloor = 1_000_000
    for (let n = 1; n <= 200; n++) {
      it.ask(BEN, GROUP, its.send({ n, lineage: 5, join: 1 }, `${n}`))
      it.turn()
      it.ack()
    }
    const page = it.ask(CAT, GROUP, its.fetch(1, 1))
    it.partition.stop()
    if (outcome === 'failed') reject(new Error('gone'))
    else resolve([{ room: GROUP, seq: 1, frame: eventFrame(GROUP, 1, 'one') }])
    await new Promise(setImmediate)
    t.same(page.all, ['moved'], outcome)
  }
})

t.test('L10 reads leave at once only under the lease', async (t) => {
  const it = await stage().ready()
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'a'))
  it.turn()
  const sentAt = it.clock.monotonic()
  it.clock.pass(200)
  it.ack()
  it.clock.pass(LEASE_MS - 201)
  t.equal(it.clock.monotonic() - sentAt, LEASE_MS - 1)
  t.same(it.ask(CAT, GROUP, its.open()).all, ['info'])
  t.equal(it.answer(CAT).ran(), 1)
  const before = it.appends.length
  it.clock.pass(1)
  const read = it.ask(CAT, GROUP, its.open())
  const refusal = it.ask(EVE, GROUP, its.open())
  const user = it.answer(CAT)
  t.ok(
    read.nothing && refusal.nothing && user.ran() === 0,
    'it counts from when the batch was sent',
  )
  it.turn()
  t.same(
    it.appends.slice(before).map(({ batch }) => batch.records),
    [[{ kind: 'tick' }]],
    'a tick',
  )
  t.ok(read.nothing)
  it.ack()
  t.same([read.all, refusal.all, user.ran()], [['info'], ['error'], 1])
  t.same(it.ask(CAT, GROUP, its.open()).all, ['info'], 'the tick gave a lease')
})

t.test('L10 a new owner has no lease', async (t) => {
  const it = stage()
  const user = it.answer(CAT)
  const read = it.ask(CAT, GROUP, its.open())
  await new Promise(setImmediate)
  t.ok(read.nothing && user.ran() === 0)
  it.turn()
  t.ok(read.nothing && user.ran() === 0)
  it.ack()
  t.same([codes(read), user.ran()], [['not_member'], 1])
})

t.test(
  'L10 a read is proven by a batch that was frozen after it came, however late its ack',
  async (t) => {
    const it = await stage().ready()
    it.clock.pass(LEASE_MS)
    it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'a'))
    const before = it.ask(CAT, GROUP, its.open())
    it.turn()
    const after = it.ask(CAT, GROUP, its.open())
    const user = it.answer(CAT)
    it.clock.pass(LEASE_MS)
    it.ack()
    t.same(before.all, ['info'])
    t.ok(after.nothing && user.ran() === 0, 'the batch proves nothing about who came later')
    it.turn()
    it.clock.pass(LEASE_MS)
    it.ack()
    t.same([after.all, user.ran()], [['info'], 1])
  },
)

t.test('L10 a lease counts from the first attempt of a batch', async (t) => {
  const it = await stage().ready()
  it.clock.pass(LEASE_MS)
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'a'))
  it.turn()
  it.clock.pass(1000)
  it.partition.pulse(false)
  t.equal(it.appends.at(-1)?.attempt, 1, 'sent again')
  it.clock.pass(LEASE_MS - 1000)
  it.ack()
  t.ok(it.ask(CAT, GROUP, its.open()).nothing)
})

t.test(
  'a draining partition commits what it took, hands over, and is the last to write',
  async (t) => {
    const it = await stage().ready()
    const taken = it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'a'))
    it.partition.drain()
    t.notOk(it.partition.drained)
    it.settle()
    t.same(seqs(taken), [2])
    t.notOk(it.partition.drained, 'pointers and checkpoint are owed')
    it.clock.pass(300)
    for (let i = 0; i < 20 && !it.partition.drained; i++) {
      it.partition.pulse(false)
      it.pointers.flush()
      if (it.inbox.length > 0) it.ackPointers()
      await new Promise(setImmediate)
    }
    t.ok(it.partition.drained)
    t.same(it.checkpoints, [it.partition.last])
    it.partition.handover('hnext')
    it.turn()
    t.same(it.appends.at(-1)?.batch.records, [{ kind: 'handover', successor: 'hnext' }])
    t.notOk(it.partition.settled)
    it.ack()
    t.ok(it.partition.settled)
  },
)

t.test('no id is to be had: refused for now, nothing recorded', async (t) => {
  const it = await stage().ready()
  const { nextId } = it.on
  it.on.nextId = () => {
    throw new ParleyError('unavailable')
  }
  const before = it.appends.length
  const told = it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'a'))
  it.turn()
  t.same([told.finals.length, codes(told), it.appends.length], [0, ['unavailable'], before])
  it.on.nextId = nextId
  const again = it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'a'))
  it.settle()
  t.same(seqs(again), [2])
  it.on.nextId = () => {
    throw new Error('a bug')
  }
  t.throws(() => it.ask(BEN, GROUP, its.send({ n: 2, lineage: 5, join: 1 }, 'b')), /a bug/)
})

t.test('what waits for the log is bounded: overloaded', async (t) => {
  const it = await stage().ready()
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided'))
  it.turn()
  let sent = 1
  let told: Told
  do {
    told = it.ask(
      BEN,
      GROUP,
      its.send({ n: ++sent, lineage: 5, join: 1, low: Math.max(1, sent - 31) }, text),
    )
  } while (told.nothing && sent < 2000)
  t.same([told.finals.length, codes(told)], [0, ['overloaded']])
  t.ok(sent > 1000 && sent < 1200, `after ${sent} texts of 8 kB`)

  const reads = await stage().ready()
  reads.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'undecided'))
  reads.turn()
  let asked = 0
  do told = reads.ask(EVE, GROUP, its.open())
  while (told.nothing && ++asked < 200_000)
  t.same(codes(told), ['overloaded'])
  t.ok(asked > 50_000)
  reads.settle()
  t.same(codes(reads.ask(EVE, GROUP, its.open())), ['not_member'], 'they have left')
})

t.test('a tick is a record of its own', async (t) => {
  const it = await stage().ready()
  const { last } = it.partition
  it.partition.tick()
  it.settle()
  t.equal(it.partition.last, last + 1)
  t.same(it.appends.at(-1)?.batch.records, [{ kind: 'tick' }])
})
