import t from 'tap'
import { Backoff } from './backoff.ts'
import { FakeTime } from './testing/fake-time.ts'

const limits = { base: 100, cap: 1_000 }

t.test('waits grow to a cap, and begin anew after a success', async (t) => {
  const backoff = new Backoff(new FakeTime(() => 1), limits)
  t.strictSame(
    [1, 2, 3, 4, 5, 6].map(() => backoff.next()),
    [100, 200, 400, 800, 1_000, 1_000],
  )
  backoff.reset()
  t.equal(backoff.next(), 100)
})

t.test('a crowd does not come back at once', async (t) => {
  t.equal(new Backoff(new FakeTime(() => 0), limits).next(), 0)
  t.equal(new Backoff(new FakeTime(() => 0.5), limits).next(), 50)
})

t.test('never sooner than the server asked for, and not all at that time', async (t) => {
  t.equal(new Backoff(new FakeTime(() => 0), limits).next(5_000), 5_000)
  t.equal(new Backoff(new FakeTime(() => 1), limits).next(5_000), 7_500)
})
