import t from 'tap'
import { BATCH_BYTES, BATCH_ROWS, batchesOf, checkSize, VALUE_BYTES } from './batches.ts'

const write = (key: string, n: number, bytes = 100) => ({ key, bytes, params: [n] })

t.test('a batch is of one partition, in order, and bounded in rows', async (t) => {
  const writes = Array.from({ length: 100 }, (_, n) => write(n % 2 === 0 ? 'even' : 'odd', n))
  const batches = batchesOf(writes)
  for (const batch of batches) {
    t.ok(batch.length <= BATCH_ROWS)
    t.equal(new Set(batch.map(({ key }) => key)).size, 1)
  }
  for (const key of ['even', 'odd']) {
    const mine = batches.flat().filter((write) => write.key === key)
    t.same(
      mine,
      writes.filter((write) => write.key === key),
    )
  }
  t.equal(batches.length, 2 * Math.ceil(50 / BATCH_ROWS), 'and none is smaller than need be')
})

t.test('and in bytes; what is larger goes alone', async (t) => {
  const half = BATCH_BYTES / 2
  const sizes = [half, half, 1, BATCH_BYTES + 5, 3, half]
  const batches = batchesOf(sizes.map((bytes, n) => write('p', n, bytes)))
  t.same(
    batches.map((batch) => batch.map(({ bytes }) => bytes)),
    [[half, half], [1], [BATCH_BYTES + 5], [3, half]],
  )
})

t.test('a value that no server takes is refused before it is sent', async (t) => {
  checkSize('it', new Uint8Array(VALUE_BYTES))
  t.throws(() => checkSize('it', new Uint8Array(VALUE_BYTES + 1)), { code: 'too_large' })
})
