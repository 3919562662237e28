import t from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { ANN, BEN, commands, GROUP } from '../../actors/room/scene.ts'
import type { RoomId } from '../ids.ts'
import { EPOCH, partitionStage } from '../testing/partition-stage.ts'
import { ROUND_MS } from './checkpointer.ts'

const behavior = createRoomBehavior()
const its = commands(GROUP)
const next = () => new Promise<void>((resolve) => setImmediate(resolve))

const stage = async (given: Parameters<typeof partitionStage>[1] = {}) => {
  const it = partitionStage(behavior, given)
  const rooms = async (count: number) => {
    const ids = Array.from({ length: count }, (_, i) => `gRoomNumber${i}`.padEnd(22, '_') as RoomId)
    for (const id of ids) it.ask(ANN, id, commands(id).create({ n: 1 }, [BEN]))
    await next()
    it.settle()
    return ids
  }
  it.ask(ANN, GROUP, its.create({ n: 1 }, [BEN]))
  await next()
  it.settle()
  return {
    ...it,
    rooms,
    /** A round becomes due. */
    due: () => {
      it.clock.pass(ROUND_MS)
      it.partition.pulse(false)
      it.partition.pulse(false)
      it.pointers.flush()
    },
    head: () => behavior.head(behavior.decode(GROUP, it.saved.at(-1)!.state)),
  }
}

t.test(
  'L4 a snapshot is written when the pointers before it are safe, then the checkpoint',
  async (t) => {
    const it = await stage()
    const position = it.partition.last
    it.due()
    await next()
    t.same([it.inbox.length, it.saved, it.checkpoints], [1, [], []], 'pointers are on their way')
    it.ackPointers()
    await next()
    t.match(it.saved, [{ room: GROUP, position }])
    t.same(it.checkpoints, [position])
    t.equal(it.partition.checkpoint, position)
  },
)

t.test('L4 pointers of an earlier flush count as well', async (t) => {
  const it = await stage()
  it.clock.pass(300)
  it.partition.pulse(false)
  it.pointers.flush()
  t.equal(it.inbox.length, 1)
  it.due()
  await next()
  t.same(it.saved, [])
  it.ackPointers()
  await next()
  t.equal(it.saved.length, 1)
})

t.test('L4 a snapshot holds exactly the records up to its stamp', async (t) => {
  const it = await stage()
  it.clock.pass(ROUND_MS)
  it.ask(ANN, GROUP, its.send({ n: 2 }, 'in it'))
  it.partition.pulse(false)
  it.turn()
  // The round began; the batch that is on its way is the one that the snapshot is of.
  it.ask(ANN, GROUP, its.send({ n: 3 }, 'after it'))
  it.pointers.flush()
  await next()
  t.same([it.inbox, it.saved], [[], []], 'L3 of an undecided batch nothing leaves')
  const position = it.ack()
  it.pointers.flush()
  it.ackPointers()
  await next()
  t.match(it.saved, [{ position }])
  t.equal(it.head(), 2)
  t.same(it.checkpoints, [position - 1], 'what was committed when the round began')
  t.notOk(it.partition.drained)
})

t.test(
  'L4 a room that changed while its snapshot waited is stored by the next round',
  async (t) => {
    const it = await stage()
    it.clock.pass(ROUND_MS)
    it.ask(ANN, GROUP, its.send({ n: 2 }, 'in it'))
    it.partition.pulse(false)
    it.turn()
    const position = it.ack()
    it.pointers.flush()
    it.ask(ANN, GROUP, its.send({ n: 3 }, 'after it'))
    it.settle()
    it.ackPointers()
    await next()
    t.match(it.saved, [{ position }])
    it.due()
    it.ackPointers()
    await next()
    t.match(it.saved.slice(1), [{ position: position + 1 }])
    t.equal(it.head(), 3)
  },
)

t.test(
  'L4 no snapshot while batches queue behind: its state would be ahead of its stamp',
  async (t) => {
    const it = await stage()
    it.clock.pass(ROUND_MS)
    const text = 'x'.repeat(8000)
    for (let n = 2; n < 60; n++) it.ask(ANN, GROUP, its.send({ n }, text))
    it.partition.pulse(false)
    for (;;) {
      it.turn()
      const position = it.ack()
      it.pointers.flush()
      if (it.inbox.length > 0) it.ackPointers()
      await next()
      if (it.saved.length === 0) continue
      t.match(it.saved, [{ position }])
      t.equal(it.head(), 59)
      break
    }
    t.ok(it.appends.length > 3)
  },
)

t.test('L4 a round ends when every room of it is stored', async (t) => {
  const it = await stage()
  await it.rooms(300)
  const { last } = it.partition
  it.due()
  t.same(it.checkpoints, [])
  for (let i = 0; i < 4; i++) {
    it.pointers.flush()
    it.ackPointers()
    it.partition.pulse(false)
    await next()
    await next()
  }
  t.equal(it.saved.length, 301)
  t.same(it.checkpoints, [last])
})

t.test(
  'L4 what could not be stored is stored by the next round; the checkpoint waits',
  async (t) => {
    const it = await stage()
    const { last } = it.partition
    it.on.saveRooms = () => Promise.reject(new Error('no space'))
    it.due()
    it.ackPointers()
    await next()
    t.same([it.checkpoints, it.told], [[], ['store failed']])
    t.equal(it.partition.checkpoint, 0)
    it.on.saveRooms = async () => {}
    it.due()
    await next()
    t.same(it.checkpoints, [last])
    t.equal(it.saved.length, 1)
  },
)

t.test('L4 a checkpoint that could not be stored is tried again', async (t) => {
  const it = await stage()
  const { last } = it.partition
  it.on.saveCheckpoint = () => Promise.reject(new Error('no KV'))
  it.due()
  it.ackPointers()
  await next()
  t.same([it.checkpoints, it.told, it.partition.checkpoint], [[], ['store failed'], 0])
  it.on.saveCheckpoint = async () => {}
  it.due()
  await next()
  t.same(it.checkpoints, [last])
})

t.test('L4 records of owners alone move the checkpoint, too', async (t) => {
  const it = partitionStage(behavior)
  it.partition.tick()
  it.settle()
  it.clock.pass(ROUND_MS)
  it.partition.pulse(false)
  await next()
  t.same(it.checkpoints, [EPOCH + 1])
  it.clock.pass(ROUND_MS)
  it.partition.pulse(false)
  await next()
  t.same(it.checkpoints, [EPOCH + 1], 'nothing new: nothing is written')
})

t.test('L4 a snapshot waits for the store that writes another', async (t) => {
  const it = await stage()
  const { promise, resolve } = Promise.withResolvers<void>()
  const writes: number[] = []
  it.on.saveRooms = (snapshots) => {
    writes.push(snapshots.length)
    return promise
  }
  const ids = await it.rooms(130)
  it.due()
  it.ackPointers()
  await next()
  it.pointers.flush()
  it.partition.pulse(false)
  it.pointers.flush()
  it.ackPointers()
  await next()
  t.equal(writes.length, 1, 'one write at a time')
  resolve()
  await next()
  await next()
  t.equal(it.saved.length, ids.length + 1)
})

t.test('L9 a fenced owner writes no snapshot and no checkpoint', async (t) => {
  const before = await stage()
  before.due()
  before.partition.stop()
  before.ackPointers()
  await next()
  t.same([before.saved, before.checkpoints], [[], []], 'its pointers became safe after that')

  const between = await stage()
  const { promise, resolve } = Promise.withResolvers<void>()
  let writes = 0
  between.on.saveRooms = () => {
    writes++
    return promise
  }
  await between.rooms(130)
  between.due()
  between.ackPointers()
  await next()
  between.partition.pulse(false)
  between.pointers.flush()
  between.ackPointers()
  between.partition.stop()
  resolve()
  await next()
  await next()
  t.equal(writes, 1, 'what was on its way ends, nothing follows')
  t.same(between.checkpoints, [])

  const last = await stage()
  const stored = Promise.withResolvers<void>()
  last.on.saveRooms = () => stored.promise
  last.due()
  last.ackPointers()
  await next()
  last.partition.stop()
  stored.resolve()
  await next()
  t.same([last.saved.length, last.checkpoints], [1, []], 'nor the checkpoint')
})
