import t from 'tap'
import { seeded } from '../../lib/testing/seeded.ts'
import { drawFaults, FAULT_KINDS } from './faults.ts'
import { textOf } from './text.ts'

t.test('a text is what a pipe of lines can carry, and what a message may be', async (t) => {
  const lines = textOf(5_000, seeded(1))
  t.equal(new Set(lines).size, lines.length, 'all lines differ')
  const bytes = lines.map((line) => Buffer.byteLength(line))
  t.ok(Math.max(...bytes) <= 8192 && Math.max(...bytes) > 7000, 'some are as long as can be')
  t.notOk(
    lines.some((line) => line.includes('\n') || !line.isWellFormed()),
    'one line each',
  )
  const text = lines.join('\n')
  t.equal(Buffer.from(text).toString(), text, 'UTF-8')
  for (const script of ['Hebrew', 'Arabic', 'Han', 'Hangul', 'Devanagari', 'Thai']) {
    t.match(text, new RegExp(`\\p{Script=${script}}`, 'u'), script)
  }
  t.match(text, /\p{Emoji_Presentation}\u200d|\u200d\p{Emoji}/u, 'joined emoji')
  t.match(text, /\p{M}{3}/u, 'stacked marks')
})

t.test('a seed tells the text and the faults', async (t) => {
  t.same(textOf(100, seeded(7)), textOf(100, seeded(7)))
  t.notSame(textOf(100, seeded(7)), textOf(100, seeded(8)))
  t.same(drawFaults(9, seeded(7)), drawFaults(9, seeded(7)))
})

t.test('each kind of fault comes in turn, in the order of their moments', async (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const faults = drawFaults(FAULT_KINDS.length, seeded(seed))
    t.same(faults.map(({ kind }) => kind).sort(), [...FAULT_KINDS].sort())
    const shares = faults.map(({ atShare }) => atShare)
    t.same(shares, shares.toSorted(), { seed })
    t.ok(shares.every((share) => share > 0 && share < 1))
  }
})
