import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { hashBytes } from './hash.ts'

const hash = (bytes: Uint8Array): number => hashBytes(bytes, 0, bytes.length)

t.test('N2 a hash is the same for ever: it stands in logs and snapshots', async (t) => {
  const utf8 = new TextEncoder()
  // Made with another implementation (Python), not with this one.
  const golden: [string, number][] = [
    ['', 15216031280547],
    ['a', 5524845848717708],
    ['abc', 4033762080337092],
    ['abcd', 843881156427891],
    ['abcde', 4530209466759499],
    ['the quick brown fox jumps over the lazy dog', 1542950979410594],
  ]
  for (const [text, value] of golden) t.equal(hash(utf8.encode(text)), value, text)
})

t.test('N2 a hash is a safe unsigned integer and depends on its range only', async () => {
  const bytes = fc.uint8Array({ maxLength: 200 })
  fc.assert(
    fc.property(bytes, bytes, bytes, (before, it, after) => {
      const value = hash(it)
      assert.ok(Number.isSafeInteger(value) && value >= 0)
      const around = Buffer.concat([before, it, after])
      assert.equal(hashBytes(around, before.length, before.length + it.length), value)
    }),
  )
})

t.test('N2 any single change gives another hash', async () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (bytes, at, flip) => {
        const other = bytes.slice()
        other[at % bytes.length]! ^= flip
        assert.notEqual(hash(other), hash(bytes))
        assert.notEqual(hash(bytes.subarray(1)), hash(bytes))
        assert.notEqual(hash(Buffer.concat([bytes, Buffer.of(0)])), hash(bytes))
      },
    ),
    { numRuns: 2000 },
  )
})

t.test('N2 a hundred thousand near commands differ, in both halves', async (t) => {
  const bytes = Buffer.from('a command that differs by its last bytes only: 00000000')
  const whole = new Set<number>()
  const bits = new Array<number>(53).fill(0)
  for (let i = 0; i < 100_000; i++) {
    bytes.writeUInt32LE(i, bytes.length - 7)
    const value = hash(bytes)
    whole.add(value)
    for (let bit = 0; bit < 53; bit++) if (Math.floor(value / 2 ** bit) % 2 === 1) bits[bit]!++
  }
  t.equal(whole.size, 100_000)
  for (const [bit, ones] of bits.entries()) {
    t.ok(ones > 48_000 && ones < 52_000, `bit ${bit} is set in about half: ${ones}`)
  }
})
