import t from 'tap'
import { toJson } from '../bus/cluster.ts'
import { readFloor } from '../bus/projections.ts'
import { MemoryBucket } from './memory.fixture.ts'
import { PublishedFloor } from './published-floor.ts'

const KEY = 'floor.history.0'
const stage = () => {
  const bucket = new MemoryBucket()
  const floor = () => readFloor(bucket.entries.get(KEY)?.value)
  return { bucket, floor, of: (epoch: number) => new PublishedFloor(bucket, 'history', 0, epoch) }
}

t.test('it is claimed, then it rises', async (t) => {
  const { floor, of } = stage()
  const ours = of(1)
  await ours.claim(0)
  t.equal((await ours.raise(10)).position, 10)
  t.equal((await ours.raise(7)).position, 10, 'and never falls')
  t.equal(ours.position, 10)
  t.same(floor(), { epoch: 1, position: 10, rebuilt: 0 })
})

t.test(
  'L0 who claims for a store that has less lowers it: the log is kept from there',
  async (t) => {
    const { bucket, floor, of } = stage()
    await bucket.put(KEY, toJson(500))
    await of(1).claim(200)
    t.match(floor(), { epoch: 1, position: 200 })
    await of(2).claim(900)
    t.match(floor(), { epoch: 2, position: 200 }, 'it rises only with what is settled')
  },
)

t.test('a former holder changes nothing, whatever it comes with', async (t) => {
  const { floor, of } = stage()
  const former = of(1)
  await former.claim(0)
  await former.raise(10)
  const holder = of(2)
  await holder.claim(5)
  for (const late of [
    () => former.claim(10),
    () => former.raise(50),
    () => former.rebuilding({ number: 1, at: 9, until: 9 }),
    () => former.rebuilt(1),
  ]) {
    await t.rejects(late(), { code: 'moved' })
  }
  t.same(floor(), { epoch: 2, position: 5, rebuilt: 0 })
})

t.test('a former holder that was about to write when it lost its place does not', async (t) => {
  const { bucket, floor, of } = stage()
  const former = of(1)
  await former.claim(0)
  // The next one claims between its look and its write.
  bucket.beforeCas = () => {
    bucket.beforeCas = () => undefined
    void bucket.put(KEY, toJson({ epoch: 2, position: 3, rebuilt: 0 }))
  }
  await t.rejects(former.raise(50), { code: 'moved' })
  t.match(floor(), { epoch: 2, position: 3 })
})

t.test('nobody raises what they have not claimed', async (t) => {
  const { floor, of } = stage()
  await t.rejects(of(4).raise(50), { code: 'moved' })
  t.match(floor(), { epoch: 0, position: 0 })
})

t.test('floor and rebuild are written by turns, and neither loses the other', async (t) => {
  const { floor, of } = stage()
  const ours = of(1)
  await ours.claim(0)
  const rebuild = { number: 2, at: 3, until: 10 }
  await Promise.all([ours.raise(10), ours.rebuilding(rebuild), ours.raise(12)])
  t.same(floor(), { epoch: 1, position: 12, rebuilt: 0, rebuild })
  await of(2).claim(12)
  t.match(floor(), { epoch: 2, rebuild }, 'the next holder goes on with it')
  await of(2).rebuilt(2)
  t.same(floor(), { epoch: 2, position: 12, rebuilt: 2 })
})
