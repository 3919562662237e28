import t from 'tap'
import { toJson } from '../bus/cluster.ts'
import { createLog } from '../log.ts'
import { eventually } from '../testing/eventually.ts'
import { floorIn, reached, run, runnerOf, stage } from '../testing/projection-stage.ts'
import { away } from './memory.fixture.ts'

t.test('every record of every stream is stored, in order, with the floor', async (t) => {
  const on = stage(2)
  on.sources[0]!.append('a', 'b,c', 'd', 'e', 'f')
  on.sources[1]!.append('x', 'y')
  const { drain, value } = await run(t, on)
  await reached(on, 5)
  await reached(on, 2, 1)
  on.sources[0]!.append('g')
  await reached(on, 6)
  const of = (k: number) => on.projection.writes.filter(({ stream }) => stream === k)
  t.same(
    of(0).flatMap(({ rows }) => rows),
    ['a', 'b', 'c', 'd', 'e', 'f', 'g'],
  )
  t.same(
    of(1).flatMap(({ rows }) => rows),
    ['x', 'y'],
  )
  t.same(
    of(0).map(({ position }) => position),
    [3, 5, 6],
    'a write for each portion',
  )
  await drain()
  t.same(on.sources[0]!.acked, [3, 5, 6])
  t.equal(await value('parley_projection_records_total'), 8)
  t.equal(await value('parley_projection_rows_total'), 9)
  t.ok(on.sources.every(({ closed }) => closed))
})

t.test('it is registered before it reads, beside others', async (t) => {
  const on = stage()
  await on.cluster.put('projections', toJson(['search']))
  on.cluster.down = true
  const starting = run(t, on)
  await eventually('a first try has failed', () => on.cluster.refused > 0)
  t.same(on.sources[0]!.opened, [], 'nothing is read unregistered')
  on.cluster.down = false
  await starting
  t.same(on.cluster.json('projections'), ['history', 'search'])
})

t.test('a start that is given up rejects', async (t) => {
  const on = stage()
  on.cluster.down = true
  const runner = runnerOf(
    on,
    createLog({ level: 'error', format: 'json', destination: { write: () => undefined } }),
  )
  const stop = new AbortController()
  const starting = runner.start(stop.signal)
  stop.abort()
  await t.rejects(starting, { name: 'AbortError' })
})

t.test("the store's floor says where to begin", async (t) => {
  const on = stage()
  on.sources[0]!.append('a', 'b', 'c', 'd')
  on.projection.floors.set(0, 2)
  await run(t, on)
  await reached(on, 4)
  t.same(on.sources[0]!.opened, [3])
  t.same(on.projection.rows, ['c', 'd'])
})

t.test('after a failure of the stream it begins again at the floor', async (t) => {
  const on = stage()
  const { value } = await run(t, on)
  on.sources[0]!.append('a', 'b')
  await reached(on, 2)
  on.sources[0]!.failure = away('delivery 9 follows 7')
  on.sources[0]!.append('c')
  await reached(on, 3)
  t.same(on.sources[0]!.opened, [1, 3])
  t.same(on.projection.rows, ['a', 'b', 'c'])
  t.equal(await value('parley_projection_retries_total'), 1)
})

t.test('a store that is away is waited for; nothing is passed over or set aside', async (t) => {
  const on = stage()
  on.projection.failure = away('no route to the database')
  on.sources[0]!.append('a', 'b')
  const { value } = await run(t, on)
  await eventually(
    'it has tried twice',
    async () => (await value('parley_projection_retries_total')) >= 2,
  )
  t.same(on.sources[0]!.acked, [], 'nothing is acknowledged that is not stored')
  t.equal(floorIn(on).position, 0, 'nor told to be stored')
  t.equal(await value('parley_projection_lag_records'), 2, 'the lag shows')
  on.projection.failure = undefined
  await reached(on, 2)
  t.same(on.sources[0]!.opened, [1], 'the stream was not bothered')
  t.same(on.projection.rows, ['a', 'b'])
  t.equal(on.aside.entries.size, 0)
})

t.test('the floor is published, only rises, and yields to a higher one', async (t) => {
  const on = stage()
  on.sources[0]!.append('a', 'b')
  const { drain } = await run(t, on)
  await eventually('it is published', () => floorIn(on).position === 2)
  // Another process comes between the read and the write, further on.
  on.checkpoints.beforeCas = () => {
    on.checkpoints.beforeCas = () => undefined
    void on.checkpoints.put('floor.history.0', toJson({ epoch: 1, position: 100 }))
  }
  on.sources[0]!.append('c')
  await reached(on, 3)
  await drain()
  t.equal(floorIn(on).position, 100)
})

t.test('draining publishes what the second had not', async (t) => {
  const on = stage()
  on.sources[0]!.append('a')
  const { drain } = await run(t, on)
  await reached(on, 1)
  on.sources[0]!.append('b')
  await reached(on, 2)
  await drain()
  t.equal(floorIn(on).position, 2)
})

t.test('a floor is kept back until the store has synced it', async (t) => {
  const on = stage()
  on.sources[0]!.append('a')
  const { drain } = await run(t, on, 3_600_000)
  await reached(on, 1)
  await drain()
  t.equal(floorIn(on).position, 0)
})

t.test('a record that cannot be read is set aside, and the rest goes on', async (t) => {
  const on = stage()
  on.sources[0]!.append('a', 'bad one', 'b', 'c', 'd')
  const { told, value, drain } = await run(t, on)
  await reached(on, 5)
  t.same(on.projection.rows, ['a', 'b', 'c', 'd'])
  const kept = on.aside.json('history.0.2') as { data: string }
  t.match(kept, { reason: 'what is this', subject: 'log.0' })
  t.equal(Buffer.from(kept.data, 'base64').toString(), 'bad one', 'with its bytes')
  t.equal(await value('parley_projection_set_aside_records'), 1)
  t.match(told('projection.set_aside'), [{ level: 'error', position: 2, stream: 0 }])
  await drain()

  const unchanged = await run(t, on)
  await eventually(
    'it is looked at again',
    () => unchanged.told('projection.still_aside').length > 0,
  )
  t.equal(await unchanged.value('parley_projection_set_aside_records'), 1, 'it still shows')
  await unchanged.drain()

  on.projection.readable = true
  const cured = await run(t, on)
  await eventually('it is taken up', () => on.projection.rows.includes('bad one'))
  await eventually('and away', () => on.aside.json('history.0.2') === undefined)
  t.equal(await on.projection.floor(0), 5, 'the floor stays where it was')
  await eventually('shown', async () => {
    return (await cured.value('parley_projection_set_aside_records')) === 0
  })
})

t.test('what the store refuses for good is set aside alone', async (t) => {
  const on = stage()
  on.sources[0]!.append('a', 'big,b', 'c')
  const { told } = await run(t, on)
  await reached(on, 3)
  t.same(on.projection.rows, ['a', 'c'])
  t.ok(on.aside.json('history.0.2'))
  t.match(told('projection.set_aside'), [{ position: 2 }])
})

t.test('the floor does not pass a record that could not be set aside', async (t) => {
  const on = stage()
  on.aside.down = true
  on.sources[0]!.append('a', 'bad', 'c')
  const { value } = await run(t, on)
  await eventually(
    'it has tried twice',
    async () => (await value('parley_projection_retries_total')) >= 2,
  )
  t.equal(await on.projection.floor(0), 0)
  on.aside.down = false
  await reached(on, 3)
  t.same(on.projection.rows, ['a', 'c'])
  t.ok(on.aside.json('history.0.2'))
})

t.test('records that were gone before they were stored are reported', async (t) => {
  const on = stage()
  on.sources[0]!.first = 8
  on.sources[0]!.append('h')
  on.projection.floors.set(0, 4)
  const { told, value } = await run(t, on)
  await reached(on, 8)
  t.match(told('projection.records_missing'), [{ level: 'error', from: 5, to: 7 }])
  t.equal(await value('parley_projection_missing_records_total'), 3)
})

t.test('draining finishes the write in work, within its deadline', async (t) => {
  const on = stage()
  const gate = Promise.withResolvers<void>()
  on.projection.gate = gate.promise
  on.sources[0]!.append('a')
  const { drain } = await run(t, on)
  await eventually('the write is in work', () => on.projection.begun === 1)
  const draining = drain()
  gate.resolve()
  await draining
  t.same(on.projection.rows, ['a'])
  t.same(on.sources[0]!.acked, [1])

  const stuck = stage()
  stuck.projection.gate = new Promise(() => undefined)
  stuck.sources[0]!.append('a')
  const other = await run(t, stuck)
  await eventually('the write is in work', () => stuck.projection.begun === 1)
  await t.rejects(other.drain(20), { message: /cut off/ })
})
