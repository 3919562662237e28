import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'

type Make = { test: string; testCode?: number; checkCode?: number }

/** Runs .ci/run, from elsewhere, with a `make` that says `test` and exits as told. */
function ci(t: Test, { test, testCode = 0, checkCode = 0 }: Make) {
  const folder = mkdtempSync(join(tmpdir(), 'parley-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, '.ci'))
  mkdirSync(join(folder, 'bin'))
  copyFileSync(join(import.meta.dirname, '../../.ci/run'), join(folder, '.ci/run'))
  writeFileSync(join(folder, 'said'), test)
  writeFileSync(
    join(folder, 'bin/make'),
    `#!/usr/bin/env bash
[ -f .ci/run ] || exit 9
case $1 in
  test) cat said; exit ${testCode} ;;
  check) echo checked; exit ${checkCode} ;;
esac
`,
    { mode: 0o755 },
  )
  const { stdout, status } = spawnSync('bash', [join(folder, '.ci/run')], {
    encoding: 'utf8',
    timeout: 30_000,
    env: { ...process.env, PATH: `${join(folder, 'bin')}:${process.env.PATH}` },
  })
  const lines = stdout.trim().split('\n')
  return { totals: lines.filter((line) => /^\d+ passed, \d+ failed$/.test(line)), lines, status }
}

t.test('what passed and failed is told on one line, and in the exit code', async (t) => {
  const good = ci(t, { test: 'TAP\n# { total: 4, pass: 4 }\n# time=1ms\n' })
  t.match(good, { totals: ['4 passed, 0 failed'], status: 0 })
  t.equal(good.lines.at(-1), '4 passed, 0 failed')
  t.ok(good.lines.includes('checked'), 'the checks ran')

  const bad = ci(t, { test: '# { total: 9, pass: 4, fail: 3, todo: 1, skip: 1 }\n', testCode: 2 })
  t.match(bad, { totals: ['4 passed, 3 failed'], status: 1 })
  t.ok(bad.lines.includes('2 skipped or to do'))
  t.ok(bad.lines.includes('checked'), 'the checks ran all the same')
})

t.test('nothing that goes wrong ends in success', async (t) => {
  const passed = '# { total: 4, pass: 4 }\n'
  t.match(ci(t, { test: passed, checkCode: 2 }), { totals: ['4 passed, 0 failed'], status: 1 })
  t.match(ci(t, { test: passed, testCode: 1 }), { totals: ['4 passed, 0 failed'], status: 1 })
  t.match(ci(t, { test: '', testCode: 2 }), { totals: ['0 passed, 0 failed'], status: 1 })
  t.match(ci(t, { test: '' }), { totals: ['0 passed, 0 failed'], status: 1 })
  t.match(ci(t, { test: '# { total: 0, pass: 0 }\n' }), {
    totals: ['0 passed, 0 failed'],
    status: 1,
  })
  t.match(ci(t, { test: '# { total: 1, skip: 1 }\n' }), {
    totals: ['0 passed, 0 failed'],
    status: 1,
  })
  t.match(ci(t, { test: '# { total: 2, pass: 1, fail: 1 }\n' }), {
    totals: ['1 passed, 1 failed'],
    status: 1,
  })
})

t.test('the totals are those of the whole run', async (t) => {
  const coloured = '\u001b[?25h\u001b[2K\u001b[2m# { total: 3, pass: 3 }\u001b[22m\n'
  t.match(ci(t, { test: coloured }), { totals: ['3 passed, 0 failed'], status: 0 })
  const nested =
    '# { total: 9, pass: 9 }\n    # { total: 1, fail: 1 }\n# { total: 5, pass: 5 }\nrest\n'
  t.match(ci(t, { test: nested }), { totals: ['5 passed, 0 failed'], status: 0 })
})
