import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SETTINGS } from '../../lib/config.ts'
import { CLOSE, ERRORS } from '../../lib/errors.ts'
import { METRICS } from '../../lib/metrics.ts'
import { GENERATORS, table } from './doc-tables.ts'
import { hint, main, renew } from './docs.ts'

const generators = { one: () => '| 1 |\n', two: () => '2' }
const page = (body: string) => `# T\n<!-- generated:one -->\n${body}<!-- /generated -->\nrest\n`

t.test('what stands between the markers is replaced, nothing else', async (t) => {
  const fresh = page('\n| 1 |\n\n')
  for (const body of ['', 'old\n', 'old\n\n```\nolder\n']) {
    t.equal(renew(page(body), generators), fresh)
  }
  t.equal(renew(fresh, generators), fresh, 'a fresh page stays to the byte')
  t.equal(renew('no marker', generators), 'no marker')
  const fenced = '```\n<!-- generated:no-such -->\n```\n'
  t.equal(renew(fenced, generators), fenced, 'an example in a code block is text')
})

t.test('markers that make no sense are refused', async (t) => {
  const refused: [string, RegExp][] = [
    [
      '\n<!-- generated:no-such -->\n<!-- /generated -->',
      /line 2: no generator no-such; .*one, two/,
    ],
    ['<!-- generated:one -->\n', /line 1: generated:one is never closed/],
    ['<!-- generated:one -->\n<!-- generated:two -->\n<!-- /generated -->', /line 2: .*still open/],
    ['<!-- /generated -->', /line 1: nothing generated is open/],
  ]
  for (const [text, message] of refused) t.throws(() => renew(text, generators), { message })
})

t.test('--check tells and changes nothing; without it the pages are written', async (t) => {
  const root = t.testdir({
    'README.md': page('old\n'),
    docs: { adr: { 'a.md': page('\n| 1 |\n\n') }, 'b.md': page('') },
  })
  const read = (path: string) => readFileSync(join(root, path), 'utf8')
  const said: string[] = []
  const print = (line: string) => said.push(line)

  t.equal(main(root, true, print, generators), 1)
  t.match(said.join('\n'), /README.md is out of date\n {2}line 3:\n {2}- old\n[\s\S]*\+ \| 1 \|/)
  t.match(said.join('\n'), /docs\/b.md is out of date/)
  t.notMatch(said.join('\n'), /a\.md/)
  t.equal(read('README.md'), page('old\n'))

  t.equal(main(root, false, print, generators), 0)
  t.equal(read('README.md'), page('\n| 1 |\n\n'))
  said.length = 0
  t.equal(main(root, true, print, generators), 0)
  t.same(said, [])

  t.throws(() => main(root, true, print, {}), { message: /README.md: line 2: no generator one/ })
})

t.test('the hint begins where the pages part', async (t) => {
  t.equal(hint('a\nb\nc', 'a\nx\nc'), '  line 2:\n  - b\n  - c\n  + x\n  + c')
  t.equal(hint('a', 'a\nb'), '  line 2:\n  + b')
})

t.test('tables hold every row of the code, with cells escaped', async (t) => {
  t.equal(table(['a'], [['x|y\n z']]), '| a |\n| --- |\n| x\\|y z |')
  const errors = GENERATORS.errors!().split('\n')
  t.equal(errors.length, 2 + Object.keys(ERRORS).length)
  t.ok(errors.includes(`| 40 | \`overloaded\` | yes | ${ERRORS.overloaded.text} |`))
  const closes = GENERATORS['close-codes']!().split('\n')
  t.equal(closes.length, 2 + Object.keys(CLOSE).length)
  t.ok(closes.includes(`| 4000 | \`drain\` | yes | ${CLOSE.drain.text} |`))
  t.ok(closes.includes(`| 4502 | \`too_large\` | no | ${CLOSE.too_large.text} |`))
  const settings = GENERATORS.settings!().split('\n')
  t.equal(settings.length, 2 + Object.keys(SETTINGS).length)
  const { kind, doc } = SETTINGS.apiPort
  t.ok(
    settings.includes(
      `| \`--api-port\` | \`PARLEY_API_PORT\` | \`8080\` | ${kind.expects} | ${doc} |`,
    ),
  )
  t.match(GENERATORS.settings!(), /^\| `--tls-key` \| `PARLEY_TLS_KEY` \| none \|/m)
  const metrics = GENERATORS.metrics!().split('\n')
  t.equal(metrics.length, 2 + Object.keys(METRICS).length)
  t.match(
    GENERATORS.metrics!(),
    /^\| `parley_projection_lag_records` \| gauge \| `projection`: history/m,
  )
})
