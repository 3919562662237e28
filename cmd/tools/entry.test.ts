import { type ChildProcess, spawn } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { outcomeOf } from '../../lib/testing/outcome.ts'

/** cmd/parley.mjs in a folder of its own, with a parley.ts of types and a built parley.js. */
function place(t: Test, inside: string): string {
  const top = realpathSync(mkdtempSync(join(tmpdir(), 'parley-')))
  t.teardown(() => rmSync(top, { recursive: true }))
  const folder = join(top, inside)
  mkdirSync(join(folder, 'cmd'), { recursive: true })
  mkdirSync(join(folder, 'dist/cmd'), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  copyFileSync(join(import.meta.dirname, '../parley.mjs'), join(folder, 'cmd/parley.mjs'))
  writeFileSync(join(folder, 'cmd/parley.ts'), SOURCE)
  writeFileSync(
    join(folder, 'dist/cmd/parley.js'),
    "console.log('built', ...process.argv.slice(2))",
  )
  return folder
}

const SOURCE = `
const args: string[] = process.argv.slice(2)
if (args[0] === 'fail') process.exitCode = 3
if (args[0] === 'wait') {
  const wait = setInterval((): void => {}, 1000)
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => { console.log('drained by', signal); clearInterval(wait) })
  }
}
console.log('source', ...args, process.argv0.includes('own') ? 'in its own node' : 'here')
`

const OLD_NODE = `data:text/javascript,Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })`

/** `old` makes it think that it runs in Node 20. */
function start(folder: string, args: string[], { old = false, script = 'cmd/parley.mjs' } = {}) {
  const child = spawn(
    process.execPath,
    [...(old ? ['--import', OLD_NODE] : []), join(folder, script), ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 },
  )
  return { child, result: outcome(child) }
}

async function outcome(child: ChildProcess) {
  const { code, out, err } = await outcomeOf(child)
  return { out: out.trim(), err: err.trim(), code }
}

/** Where `make setup` puts the Node of package.json; this one, under a path that can be told. */
function ownNode(folder: string): void {
  mkdirSync(join(folder, 'node_modules/node/bin'), { recursive: true })
  const own = join(folder, 'node_modules/node/bin/node')
  writeFileSync(own, `#!/bin/bash\nexec -a own-node "${process.execPath}" "$@"\n`, { mode: 0o755 })
}

t.test('a clone runs its sources', async (t) => {
  const folder = place(t, 'clone')
  t.match(await start(folder, ['a', 'b c']).result, { out: 'source a b c here', code: 0 })
  t.match(await start(folder, ['fail']).result, { out: /source/, code: 3 })
  t.ok(existsSync(join(folder, '.cache/compiled')), 'what it compiled is kept')
})

t.test('an installed package runs what was built, by its link too', async (t) => {
  const folder = place(t, 'node_modules/parley')
  t.match(await start(folder, ['a']).result, { out: 'built a', code: 0 })
  mkdirSync(join(folder, '../.bin'))
  symlinkSync('../parley/cmd/parley.mjs', join(folder, '../.bin/parley'))
  t.match(await start(folder, ['a'], { script: '../.bin/parley' }).result, {
    out: 'built a',
    code: 0,
  })
})

t.test('a clone under an old Node takes its own', async (t) => {
  const folder = place(t, 'clone')
  ownNode(folder)
  t.match(await start(folder, ['a'], { old: true }).result, {
    out: 'source a in its own node',
    code: 0,
  })
  t.match(await start(folder, ['fail'], { old: true }).result, { code: 3 })
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} reaches the own Node, which ends in its time`, async (t) => {
    const folder = place(t, 'clone')
    ownNode(folder)
    const { child, result } = start(folder, ['wait'], { old: true })
    child.stdout!.once('data', () => child.kill(signal))
    t.match(await result, { out: new RegExp(`drained by ${signal}$`), code: 0 })
  })
}

t.test('an old Node alone is told what to do', async (t) => {
  const clone = await start(place(t, 'clone'), ['a'], { old: true }).result
  t.match(clone, { out: '', err: /needs Node >= 22\.18, this is v\d[\s\S]*make setup/, code: 1 })
  const installed = await start(place(t, 'node_modules/parley'), ['a'], { old: true }).result
  t.match(installed, { out: '', err: /needs Node >= 22\.18/, code: 1 })
  t.notMatch(installed.err, /make setup/)
})
