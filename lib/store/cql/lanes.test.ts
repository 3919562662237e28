import t from 'tap'
import { eachOf, Lanes } from './lanes.ts'

const held = () => {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  return { promise, resolve, reject }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test('so many at once, the others in turn, then no more', async (t) => {
  const lanes = new Lanes(2, 2)
  const gates = [held(), held(), held(), held()]
  const begun: number[] = []
  const runs = gates.map(({ promise }, n) =>
    lanes.run(async () => {
      begun.push(n)
      await promise
      return n
    }),
  )
  await turn()
  t.same(begun, [0, 1])
  await t.rejects(
    lanes.run(async () => 5),
    { code: 'unavailable' },
  )
  gates[1]!.reject(new Error('failed'))
  await t.rejects(runs[1]!, { message: 'failed' })
  await turn()
  t.same(begun, [0, 1, 2], 'a failure leaves its lane too')
  for (const { resolve } of gates) resolve()
  t.same(await Promise.all([runs[0], runs[2], runs[3]]), [0, 2, 3])
  t.equal(await lanes.run(async () => 6), 6)
})

t.test('of many tasks so many at once, and none after a failure', async (t) => {
  let now = 0
  let most = 0
  const done: number[] = []
  const run = async (n: number) => {
    most = Math.max(most, ++now)
    await turn()
    now--
    done.push(n)
    if (n === 7) throw new Error('seven')
  }
  await eachOf([1, 2, 3, 4, 5, 6], 3, run)
  t.equal(most, 3)
  t.same(done, [1, 2, 3, 4, 5, 6])
  await t.rejects(eachOf([7, 8, 9, 10, 11, 12], 2, run), { message: 'seven' })
  await turn()
  await turn()
  t.ok(!done.includes(11), 'the rest is left')
  await eachOf([], 4, run)
})
