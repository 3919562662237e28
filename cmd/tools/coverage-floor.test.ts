import t from 'tap'
import { checkFloors, hasCode } from './coverage-floor.ts'

const lines = (total: number, covered: number) => ({ lines: { total, covered } })
const check = (sources: Record<string, string>, summary: Parameters<typeof checkFloors>[2]) =>
  checkFloors('/r', new Map(Object.entries(sources)), summary, { 'lib/x/': 95 })[0]

t.test('lines are summed over the folder, not averaged over its files', async (t) => {
  const sources = { 'lib/x/a.ts': 'a()', 'lib/x/y/b.ts': 'b()', 'lib/xy/c.ts': 'c()' }
  const summary = {
    total: lines(1000, 0),
    '/r/lib/x/a.ts': lines(190, 190),
    '/r/lib/x/y/b.ts': lines(10, 0),
    '/r/lib/xy/c.ts': lines(1000, 0),
  }
  t.match(check(sources, summary), { percent: 95, passed: true, unseen: [] })
  summary['/r/lib/x/y/b.ts'] = lines(11, 0)
  t.match(check(sources, summary), { percent: Number, passed: false })
})

t.test('a file that no test loads counts as uncovered', async (t) => {
  const sources = { 'lib/x/a.ts': 'a()', 'lib/x/b.ts': 'export const b = 1\n'.repeat(10) }
  const found = check(sources, { '/r/lib/x/a.ts': lines(90, 90) })
  t.match(found, { percent: 90, passed: false, unseen: ['lib/x/b.ts'] })
})

t.test('tests and mere types do not count', async (t) => {
  const sources = {
    'lib/x/a.ts': 'a()',
    'lib/x/a.test.ts': 'a()',
    'lib/x/a.it.ts': 'a()',
    'lib/x/contract.ts': 'a()',
    'lib/x/types.ts': '/** Doc */\nimport type { A } from "./a.ts"\nexport type B = A // b\n',
  }
  t.match(check(sources, { '/r/lib/x/a.ts': lines(10, 10) }), { percent: 100, unseen: [] })
})

t.test('a folder without code does not pass', async (t) => {
  t.match(check({}, {}), { percent: undefined, passed: false })
})

t.test('hasCode', async (t) => {
  t.notOk(hasCode('export interface A { b: 1 }\nexport {}\n'))
  t.ok(hasCode('export const a = 1'))
})
