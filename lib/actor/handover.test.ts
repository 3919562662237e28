import t from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { ANN, BEN, commands, GROUP } from '../../actors/room/scene.ts'
import { eventually } from '../testing/eventually.ts'
import { partitionStage } from '../testing/partition-stage.ts'
import { handOver } from './handover.ts'

const its = commands(GROUP)

const stage = async () => {
  const it = partitionStage(createRoomBehavior())
  it.ask(ANN, GROUP, its.create({ n: 1 }, [BEN]))
  await new Promise(setImmediate)
  it.settle()
  const fold = { drained: true, hurry: false, saves: 0, save: async () => void fold.saves++ }
  let acks = true
  const timer = setInterval(() => {
    it.turn()
    it.partition.pulse(false)
    if (acks && !it.partition.settled && !it.partition.stopped) it.ack()
    it.pointers.flush()
    if (it.inbox.length > 0) it.ackPointers()
  }, 2)
  t.teardown(() => clearInterval(timer))
  return {
    ...it,
    fold,
    /** The log answers no more. */
    silence: () => {
      acks = false
    },
    give: (ms: number) =>
      handOver(
        { partition: it.partition, fold: fold as never },
        'hnext',
        it.clock,
        it.clock.monotonic() + ms,
      ),
  }
}

t.test(
  'drain: all that was accepted is stored, then the log says so, and nothing follows',
  async (t) => {
    const it = await stage()
    const giving = it.give(10_000)
    t.same(it.ask(ANN, GROUP, its.send({ n: 2 }, 'late')).all, ['moved'])
    t.equal(await giving, 'handed')
    t.equal(it.saved.length, 1)
    t.same([it.fold.hurry, it.fold.saves], [true, 1])
    const last = it.appends.at(-1)!
    t.same(last.batch.records, [{ kind: 'handover', successor: 'hnext' }])
    t.ok(it.checkpoints.includes(last.expected), 'the checkpoint is what the handover follows')
    t.same(it.ask(ANN, GROUP, its.open()).all, ['moved'], 'the successor may be answering')
  },
)

t.test('drain: with a store out of reach it is kept, and serves as before', async (t) => {
  const it = await stage()
  it.on.saveRooms = () => Promise.reject(new Error('no space'))
  const giving = it.give(1000)
  await eventually('it fails', () => it.told.includes('store failed'))
  it.clock.pass(1000)
  t.equal(await giving, 'kept')
  t.notOk(it.appends.some(({ batch }) => batch.records.some(({ kind }) => kind === 'handover')))
  const told = it.ask(ANN, GROUP, its.send({ n: 2 }, 'as before'))
  await eventually('acked', () => told.all[0] === 'ack')
})

t.test('drain: what the users’ inbox brought is stored first', async (t) => {
  const it = await stage()
  it.fold.drained = false
  const giving = it.give(10_000)
  await eventually('the rooms are', () => it.partition.drained)
  t.equal(it.fold.saves, 0)
  it.fold.drained = true
  t.equal(await giving, 'handed')
})

t.test('drain: a handover that is not decided in time gives it up all the same', async (t) => {
  const it = await stage()
  const { saveCheckpoint } = it.on
  it.on.saveCheckpoint = async (position) => {
    it.silence()
    await saveCheckpoint(position)
  }
  const giving = it.give(1000)
  await eventually('the handover is on its way', () =>
    it.appends.at(-1)!.batch.records.some(({ kind }) => kind === 'handover'),
  )
  it.clock.pass(1000)
  t.equal(await giving, 'undecided')
})

t.test('drain: fenced meanwhile', async (t) => {
  const it = await stage()
  it.on.saveRooms = () => Promise.reject(new Error('no space'))
  const giving = it.give(10_000)
  await eventually('it fails', () => it.told.includes('store failed'))
  it.partition.stop()
  t.equal(await giving, 'undecided')

  const later = await stage()
  later.on.saveCheckpoint = async () => later.silence()
  const undecided = later.give(10_000)
  await eventually('the handover is on its way', () =>
    later.appends.at(-1)!.batch.records.some(({ kind }) => kind === 'handover'),
  )
  later.partition.stop()
  t.equal(await undecided, 'undecided')
})
