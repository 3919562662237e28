import t from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { ANN, BEN, CAT, commands, GROUP } from '../../actors/room/scene.ts'
import type { RoomId } from '../ids.ts'
import { readValue } from '../protocol/codec.ts'
import type { Wire } from '../protocol/fields.ts'
import type { Pointer } from '../protocol/frames.ts'
import { POINTER } from '../protocol/pointer.ts'
import { Reader } from '../protocol/reader.ts'
import { partitionStage } from '../testing/partition-stage.ts'
import { COALESCE_MS } from './flusher.ts'

const behavior = createRoomBehavior()
const its = commands(GROUP)
const next = () => new Promise<void>((resolve) => setImmediate(resolve))

const stage = async () => {
  const it = partitionStage(behavior)
  it.ask(ANN, GROUP, its.create({ n: 1 }, [BEN, CAT]))
  await next()
  it.settle()
  return {
    ...it,
    pulse: () => {
      it.partition.pulse(false)
      it.pointers.flush()
    },
    /** Of the last batch of pointers: user → pointer. */
    pointersOf: () =>
      new Map(
        it.inbox.at(-1)?.entries.map((entry) => {
          if (entry.kind !== 'pointer') throw new Error(entry.kind)
          const pointer = readValue(
            new Reader(entry.pointer),
            POINTER as unknown as Wire,
          ) as Pointer
          if (pointer.version !== entry.version) throw new Error('two versions')
          return [entry.user, pointer]
        }),
      ),
  }
}

t.test('pointers of a room leave together, 250 ms after the first is owed', async (t) => {
  const it = await stage()
  it.clock.pass(COALESCE_MS - 1)
  it.pulse()
  t.same(it.inbox, [])
  it.ask(ANN, GROUP, its.send({ n: 2 }, 'one'))
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'two'))
  it.settle()
  it.clock.pass(1)
  it.pulse()
  const { last } = it.partition
  t.same(
    [...it.pointersOf()].map(([user, { head, version }]) => [user, head, version]),
    [ANN, BEN, CAT].map((user) => [user, 3, last]),
  )
  it.ackPointers()
  it.clock.pass(COALESCE_MS)
  it.pulse()
  t.equal(it.inbox.length, 1, 'nothing is owed')
})

t.test(
  'L3 a pointer is that of the end of a batch, and leaves when that is committed',
  async (t) => {
    const it = await stage()
    it.clock.pass(COALESCE_MS)
    it.ask(ANN, GROUP, its.send({ n: 2 }, 'in the batch'))
    it.turn()
    it.ask(ANN, GROUP, its.send({ n: 3 }, 'in the next'))
    it.pulse()
    t.same(it.inbox, [])
    const position = it.ack()
    it.pulse()
    t.match(it.pointersOf().get(CAT), { head: 2, version: position })
    it.turn()
    it.clock.pass(COALESCE_MS)
    it.pulse()
    t.equal(it.inbox.length, 1)
    it.ack()
    it.pulse()
    it.ackPointers()
    t.match(it.pointersOf().get(CAT), { head: 3, version: position + 1 })
  },
)

t.test(
  'rooms go in the order in which they began to owe; many at once are several batches',
  async (t) => {
    const it = await stage()
    const ids = Array.from({ length: 600 }, (_, i) => `gRoomNumber${i}`.padEnd(22, '_') as RoomId)
    for (const id of ids) it.ask(ANN, id, commands(id).create({ n: 1 }, [BEN]))
    await next()
    it.settle()
    it.clock.pass(COALESCE_MS)
    it.pulse()
    it.pulse()
    for (let i = 0; i < 20; i++) if (it.pointers.size > 0) it.ackPointers()
    const rooms = it.inbox.flatMap(({ entries }) =>
      entries.flatMap((entry) =>
        entry.kind === 'pointer' && entry.user === ANN ? entry.room : [],
      ),
    )
    t.same(rooms, [GROUP, ...ids])
  },
)

t.test('a room that was flushed for a snapshot is not due for its older debt', async (t) => {
  const it = await stage()
  it.clock.pass(10_000)
  it.partition.pulse(false)
  it.partition.pulse(false)
  it.pulse()
  t.equal(it.pointersOf().size, 3)
  it.ackPointers()
  it.ask(BEN, GROUP, its.send({ n: 1, lineage: 5, join: 1 }, 'again'))
  it.settle()
  it.pulse()
  t.equal(it.inbox.length, 1, 'not yet')
  it.clock.pass(COALESCE_MS)
  it.pulse()
  t.equal(it.inbox.length, 2)
})

t.test('L0 while the inbox takes nothing, what a room owes gathers in it', async (t) => {
  const it = await stage()
  it.pointers.hold(() => true, true)
  const { offer } = it.pointers
  let offers = 0
  it.pointers.offer = (...args) => {
    offers++
    offer.apply(it.pointers, args)
  }
  const rounds = 200
  for (let n = 2; n < 2 + rounds; n++) {
    it.ask(ANN, GROUP, its.send({ n }, `text ${n}`))
    it.settle()
    it.clock.pass(COALESCE_MS)
    it.pulse()
  }
  t.equal(offers, 3 * 5, 'four flushes, and one for a snapshot')
  it.pointers.hold(() => true, false)
  for (let i = 0; i < 3; i++) {
    it.pulse()
    it.ackPointers()
    it.clock.pass(COALESCE_MS)
  }
  t.strictSame(
    [...it.pointersOf()].map(([user, { head }]) => [user, head]),
    [ANN, BEN, CAT].map((user) => [user, 1 + rounds]),
  )
  t.equal(it.pointers.size, 0)
})

t.test('L9 nothing of a stopped partition leaves', async (t) => {
  const it = await stage()
  it.clock.pass(COALESCE_MS)
  it.ask(ANN, GROUP, its.send({ n: 2 }, 'undecided'))
  it.turn()
  it.partition.stop()
  it.ack()
  it.pulse()
  t.same(it.inbox, [])
})
