import t from 'tap'
import { toJson } from '../bus/cluster.ts'
import { trimFloor } from '../bus/projections.ts'
import { eventually } from '../testing/eventually.ts'
import { floorIn, reached, run, type Stage, stage } from '../testing/projection-stage.ts'
import { changeWanted } from './leases.ts'
import { away } from './memory.fixture.ts'

const paused = (on: Stage, is: boolean) =>
  changeWanted(on.cluster, 'history', (wanted) => ({ ...wanted, paused: is }))
const rebuild = (on: Stage) =>
  changeWanted(on.cluster, 'history', (wanted) => ({ ...wanted, rebuild: wanted.rebuild + 1 }))
const rebuilt = (on: Stage, number: number, stream = 0) =>
  eventually(`rebuild ${number} ended`, () => floorIn(on, stream).rebuilt === number)

t.test('paused, it stores nothing and keeps its place; resumed, it goes on there', async (t) => {
  const on = stage()
  on.sources[0]!.append('a', 'b')
  const { value } = await run(t, on)
  await reached(on, 2)
  await paused(on, true)
  await eventually('it has stopped', () => on.sources[0]!.closed)
  t.equal(floorIn(on).position, 2, 'what was stored is published')
  on.sources[0]!.append('c')
  t.equal(await value('parley_projection_streams'), 1, 'the stream is still its own')
  t.same(on.projection.rows, ['a', 'b'])
  await paused(on, false)
  await reached(on, 3)
  t.same(on.projection.rows, ['a', 'b', 'c'])
  t.same(on.sources[0]!.opened, [1, 3])
})

t.test('a pause outlives the process', async (t) => {
  const on = stage()
  await paused(on, true)
  on.sources[0]!.append('a')
  const { value, drain } = await run(t, on)
  await eventually(
    'it has the stream',
    async () => (await value('parley_projection_streams')) === 1,
  )
  await drain()
  t.same([on.projection.rows, on.sources[0]!.opened], [[], []])
})

t.test('a rebuild stores again what the log holds, and only that', async (t) => {
  const on = stage(2)
  on.sources[0]!.append('a', 'b', 'c', 'd', 'e', 'f')
  on.sources[1]!.append('x')
  const { value } = await run(t, on)
  await reached(on, 6)
  await reached(on, 1, 1)
  on.sources[0]!.trim(3)
  on.projection.rows.length = 0
  on.projection.dropped.add('d')
  await rebuild(on)
  await rebuilt(on, 1)
  await rebuilt(on, 1, 1)
  t.same([...on.projection.rows].sort(), ['c', 'e', 'f', 'x'], 'not what is kept no longer')
  t.equal(await on.projection.floor(0), 6, 'the floor stays')
  t.equal(floorIn(on).rebuild, undefined)
  t.equal(await value('parley_projection_rebuilt_records_total'), 5)
  t.equal(await value('parley_projection_missing_records_total'), 0)
  on.projection.rows.length = 0
  await rebuild(on)
  await rebuilt(on, 2)
  t.ok(on.projection.rows.includes('c'), 'as often as it is asked for')
})

t.test(
  'L0 while a rebuild is under way the log is kept for it, and new records are stored',
  async (t) => {
    const on = stage()
    on.sources[0]!.append('a', 'b', 'c', 'd')
    const { drain } = await run(t, on)
    await reached(on, 4)
    const gate = Promise.withResolvers<void>()
    const reader = on.rebuildSources[0]!
    reader.gate = gate.promise
    await rebuild(on)
    await eventually('it has begun', () => floorIn(on).rebuild?.until === 4)
    t.equal(trimFloor(floorIn(on)), 0)
    on.sources[0]!.append('e')
    await reached(on, 5)
    await eventually('the floor rises', () => floorIn(on).position === 5)
    t.equal(trimFloor(floorIn(on)), 0, 'and the log is kept all the same')
    gate.resolve()
    await rebuilt(on, 1)
    t.equal(trimFloor(floorIn(on)), 5)
    await drain()
  },
)

t.test('a rebuild that was interrupted goes on where it was', async (t) => {
  const on = stage()
  on.sources[0]!.append('a', 'b', 'c', 'd', 'e', 'f')
  const first = await run(t, on)
  await reached(on, 6)
  on.projection.failure = away('no route to the database')
  await rebuild(on)
  await eventually('it has begun', () => floorIn(on).rebuild?.until === 6)
  await first.drain()
  t.match(floorIn(on), { rebuilt: 0, rebuild: { number: 1, at: 0, until: 6 } })
  // As if it had come half way.
  const half = { ...floorIn(on), rebuild: { number: 1, at: 3, until: 6 } }
  await on.checkpoints.put('floor.history.0', toJson(half))
  on.projection.failure = undefined
  on.projection.rows.length = 0
  await run(t, on)
  await rebuilt(on, 1)
  t.same(on.projection.rows, ['d', 'e', 'f'])
})

t.test('what a rebuild can’t read is set aside; paused, it waits', async (t) => {
  const on = stage()
  on.sources[0]!.append('a', 'bad one', 'big,one', 'd')
  await run(t, on)
  await reached(on, 4)
  await paused(on, true)
  await eventually('it has stopped', () => on.sources[0]!.closed)
  on.aside.entries.clear()
  on.projection.rows.length = 0
  await rebuild(on)
  await paused(on, false)
  await rebuilt(on, 1)
  t.same(on.projection.rows, ['a', 'd'])
  t.same([...on.aside.entries.keys()].sort(), ['history.0.2', 'history.0.3'])
})

t.test(
  'a stream that another process has taken is let go, and its floor is left alone',
  async (t) => {
    const on = stage()
    on.sources[0]!.append('a')
    const { told } = await run(t, on)
    await reached(on, 1)
    await eventually('it is published', () => floorIn(on).position === 1)
    const claimed = { epoch: 7, position: 0, rebuilt: 0 }
    await on.checkpoints.put('floor.history.0', toJson(claimed))
    on.sources[0]!.failure = away('the consumer is gone')
    on.sources[0]!.append('b')
    await eventually('it is fenced', () => told('projection.fenced').length === 1)
    t.same(floorIn(on), claimed)
  },
)
