import t from 'tap'
import { eventually } from '../testing/eventually.ts'
import { startBus } from '../testing/servers/bus.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

t.test('a watch says when it has told all that there is', async (t) => {
  const { connect } = await startBus(t, { partitions: 4 })
  const bucket = await (await connect()).bucket('gateways')
  const watch = async () => {
    const seen: string[] = []
    const stop = await bucket.watch(
      ({ key, value }) => seen.push(`${key} ${value === undefined ? 'gone' : 'there'}`),
      () => seen.push('all'),
    )
    t.teardown(stop)
    return seen
  }
  const early = await watch()
  await eventually('an empty bucket is told at once', () => early.includes('all'))
  for (const key of ['a', 'b']) await bucket.put(key, bytes(key))
  await bucket.remove('a')
  await eventually('changes follow', () => early.length === 4)
  t.same(early, ['all', 'a there', 'b there', 'a gone'])

  const late = await watch()
  await eventually('all of a bucket with entries', () => late.includes('all'))
  t.same(late, ['b there', 'a gone', 'all'])
})

t.test('a watch without a server fails; it does not wait for ever', async (t) => {
  const { server, connect } = await startBus(t, { partitions: 4 })
  const bucket = await (await connect()).bucket('owners')
  await server.stop()
  await t.rejects(
    bucket.watch(() => {}),
    { code: 'unavailable' },
  )
})
