import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { EPOCH, Snowflake, timeOfId, timeOfLineage, WORKERS } from './snowflake.ts'

const YEAR = 366 * 86_400_000
const now = EPOCH + 3 * YEAR

/** A clock that runs, stands, jumps ahead and steps back. */
const clocks = fc
  .array(
    fc.oneof(
      fc.constant(0),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: -90_000, max: 90_000 }),
      fc.integer({ min: -YEAR, max: YEAR }),
    ),
    { minLength: 1, maxLength: 300 },
  )
  .map((steps) => {
    let time = now
    return steps.map((step) => {
      time = Math.max(EPOCH - YEAR, time + step)
      return time
    })
  })

t.test('golden ids: 41 bits of ms, 10 of worker, 12 of sequence', async (t) => {
  t.equal(EPOCH, Date.UTC(2026, 0, 1))
  const first = new Snowflake(0)
  t.equal(first.next(EPOCH), 0n)
  t.equal(first.next(EPOCH), 1n)
  t.equal(first.next(EPOCH + 1), 1n << 22n)
  const last = new Snowflake(1023, EPOCH + 2 ** 41 - 1)
  t.equal(last.next(EPOCH + 2 ** 41 - 1), (1n << 63n) - 4096n)
  // 2027-03-04T05:06:07.089Z, worker 5: made with another implementation (Python).
  const some = new Snowflake(5)
  const at = Date.UTC(2027, 2, 4, 5, 6, 7, 89)
  t.equal(some.next(at), 154_816_655_766_081_536n)
  t.equal(some.next(at), 154_816_655_766_081_537n)
  t.equal(some.lineage(at), 151_188_140_396_564)
  t.equal(some.lineage(at), 151_188_140_396_565)
})

t.test('ids say when and by whom they were made', async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 41 - 1 }),
      fc.integer({ min: 0, max: WORKERS - 1 }),
      (ms, worker) => {
        const source = new Snowflake(worker)
        const id = source.next(EPOCH + ms)
        assert.equal(id, (BigInt(ms) << 22n) | (BigInt(worker) << 12n))
        assert.equal(timeOfId(id), EPOCH + ms)
        const lineage = source.lineage(EPOCH + ms)
        assert.equal(BigInt(lineage), (BigInt(ms) << 12n) | (BigInt(worker) << 2n))
        assert.equal(timeOfLineage(lineage), EPOCH + ms)
      },
    ),
  )
})

t.test('S1 both strictly rise, whatever the clock does', async () => {
  fc.assert(
    fc.property(clocks, fc.integer({ min: 0, max: WORKERS - 1 }), (times, worker) => {
      const source = new Snowflake(worker)
      let id = -1n
      let lineage = -1
      for (const time of times) {
        const nextId = source.next(time)
        const nextLineage = source.lineage(time)
        assert.ok(nextId > id && nextId < 2n ** 63n)
        assert.ok(nextLineage > lineage && Number.isSafeInteger(nextLineage))
        assert.equal((nextId >> 12n) & 1023n, BigInt(worker))
        assert.equal(Math.floor(nextLineage / 4) % 1024, worker)
        id = nextId
        lineage = nextLineage
      }
    }),
  )
})

t.test('S1 a clock that steps back makes time stand still, not fall', async (t) => {
  const source = new Snowflake(1)
  const before = source.next(now)
  t.equal(source.next(now - 60_000), before + 1n)
  t.equal(source.next(now - 1), before + 2n)
  t.equal(timeOfId(source.next(now + 1)), now + 1, 'and goes on when the clock has caught up')
})

t.test('S2 a full sequence spills into the next ms', async (t) => {
  const source = new Snowflake(2)
  const ids = Array.from({ length: 3 * 4096 + 1 }, () => source.next(now))
  t.equal(new Set(ids).size, ids.length)
  t.equal(timeOfId(ids[4095]!), now)
  t.equal(timeOfId(ids[4096]!), now + 1)
  t.equal(timeOfId(ids[2 * 4096]!), now + 2)
  t.equal(timeOfId(ids.at(-1)!), now + 3)
  t.ok(ids.every((id, i) => i === 0 || id > ids[i - 1]!))
  t.equal(timeOfId(source.next(now + 1)), now + 3, 'the clock is behind what was used')
  t.equal(timeOfId(source.next(now + 4)), now + 4)

  const lineages = Array.from({ length: 9 }, () => source.lineage(now))
  t.strictSame(
    lineages.map((lineage) => timeOfLineage(lineage) - now),
    [0, 0, 0, 0, 1, 1, 1, 1, 2],
  )
  t.equal(source.last, now + 4)
})

t.test('sources with other worker numbers never meet', async (t) => {
  const seen = new Set<bigint | number>()
  const workers = [0, 1, 2, 511, 512, 1023]
  for (const worker of workers) {
    const source = new Snowflake(worker)
    for (let i = 0; i < 5000; i++) seen.add(source.next(now))
    for (let i = 0; i < 5000; i++) seen.add(source.lineage(now))
  }
  t.equal(seen.size, workers.length * 10_000)
})

t.test('S3 a later holder of the worker number starts after the earlier one', async (t) => {
  const earlier = new Snowflake(7)
  let id = 0n
  let lineage = 0
  for (let i = 0; i < 10_000; i++) id = earlier.next(now)
  for (let i = 0; i < 100; i++) lineage = earlier.lineage(now)
  // Its clock is a minute behind.
  const later = new Snowflake(7, earlier.last + 1)
  t.ok(later.next(now - 60_000) > id)
  t.ok(later.lineage(now - 60_000) > lineage)
  t.equal(new Snowflake(7, now + 0.5).last, now + 1, 'a fraction of a ms counts as used')
})

t.test('what can not be told is refused', async (t) => {
  for (const worker of [-1, 1024, 1.5, Number.NaN])
    t.throws(() => new Snowflake(worker), RangeError)
  t.throws(() => new Snowflake(0).next(EPOCH + 2 ** 41), RangeError)
  t.throws(() => new Snowflake(0).lineage(EPOCH + 2 ** 41), RangeError)
  const end = new Snowflake(0)
  for (let i = 0; i < 4; i++) t.ok(Number.isSafeInteger(end.lineage(EPOCH + 2 ** 41 - 1)))
  t.throws(() => end.lineage(EPOCH), RangeError, 'no ms is left to spill into')
  t.equal(new Snowflake(3).next(EPOCH - 5), 3n << 12n, 'before the epoch time stands at its start')
})
