import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { citedIn, RULES, ruleTests } from './doc-rules.ts'

const CONTRACTS = readFileSync(
  join(resolve(import.meta.dirname, '../..'), 'docs/CONTRACTS.md'),
  'utf8',
)

/** Put together, so that the titles below are not taken for titles of this file. */
const call = ['t', 'test'].join('.')

t.test('rules are read from titles alone', async (t) => {
  const source = `
    ${call}('L7 L9 the log', async (t) => {
      await ${call}(
        \`N3 \${name}\`, async () => {})
      t.equal(1, 1, 'O1 is no title')
      // I1 neither
      ${call}('nothing is cited, L1 stands within', f)
    })`
  t.same(citedIn(source), ['L7', 'L9', 'N3'])
})

t.test('a row for each rule, with the files that cite it', async (t) => {
  const root = t.testdir({
    lib: {
      'a.test.ts': `${call}('L1 a', f)\n${call}('L1 b', f)`,
      'a.ts': `${call}('L2 no test', f)`,
    },
    nats: { 'b.it.ts': `${call}('L1 c', f)` },
  })
  const lines = ruleTests(root).split('\n')
  t.equal(lines.length, RULES.length + 2)
  t.ok(lines.includes('| L1 | `lib/a.test.ts` · `nats/b.it.ts` |'))
  t.ok(lines.includes('| L2 | none |'))
  const wrong = t.testdir({ cmd: { 'c.test.ts': `${call}('L99 d', f)` } })
  t.throws(() => ruleTests(wrong), { message: /cmd\/c.test.ts cites L99/ })
})

t.test('CONTRACTS.md states each rule, once', async (t) => {
  const stated = [...CONTRACTS.matchAll(/^\*\*([A-Z]\d+)\. /gm)].map(([, rule]) => rule)
  t.same(stated, RULES)
})
