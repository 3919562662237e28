import t from 'tap'
import { Outbox, Pool } from './outbox.ts'

const frame = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)

t.test('frames leave in order, whole, across growth', async (t) => {
  const outbox = new Outbox(new Pool(), 1_000_000)
  const expected: number[] = []
  for (let i = 0; i < 300; i++) {
    t.ok(outbox.push(frame(i, i & 255)))
    for (let n = 0; n < i; n++) expected.push(i & 255)
  }
  t.strictSame([...(outbox.view() ?? [])], expected)
  t.equal(outbox.length, expected.length)
  outbox.clear()
  t.equal(outbox.view(), undefined)
  t.equal(outbox.length, 0)
})

t.test('the bound: what does not fit is refused and leaves what waits as it is', async (t) => {
  const outbox = new Outbox(new Pool(), 100)
  t.ok(outbox.push(frame(60, 1)))
  t.notOk(outbox.push(frame(41, 2)))
  t.equal(outbox.length, 60)
  t.ok(outbox.push(frame(40, 3)), 'up to the bound it fits')
  t.notOk(outbox.push(frame(1, 4)))
  outbox.clear()
  t.ok(outbox.push(frame(5000, 5)), 'one large frame alone is taken')
  t.notOk(outbox.push(frame(1, 6)))
})

t.test('a frame may be overwritten after it was pushed', async (t) => {
  const outbox = new Outbox(new Pool(), 100)
  const bytes = frame(3, 7)
  outbox.push(bytes)
  bytes.fill(0)
  t.strictSame([...(outbox.view() ?? [])], [7, 7, 7])
})

t.test(
  'the pool lends a buffer again, never to two at once, and keeps no more than it may',
  async (t) => {
    const pool = new Pool(8192)
    const a = pool.take(10)
    const b = pool.take(10)
    t.not(a, b)
    t.equal(a.length, 1024)
    pool.give(a)
    t.equal(pool.take(1024), a)
    pool.give(a)
    pool.give(b)
    const large = pool.take(5000)
    t.ok(large.length >= 5000)
    pool.give(large)
    t.not(pool.take(5000), large, 'it was full')
  },
)
