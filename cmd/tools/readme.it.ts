/**
 * README.md promises that its session and its example work when pasted, and that a client was written in another
 * language: here they are, against a real `parley up`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { outcomeOf } from '../../lib/testing/outcome.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
/** A first start makes a database. */
const START_MS = 60_000
const RUN_MS = 90_000

/** The first code block in `language` under a heading. */
const blockOf = (heading: string, language: string): string => {
  const section = README.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const block = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(section)?.[1]
  if (block === undefined) throw new Error(`README.md has no ${language} block under ${heading}`)
  return block
}

/** Without what whoever runs the tests has set, but for the way to a nats-server. */
const env = (own: Record<string, string>): NodeJS.ProcessEnv => {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !/^(PARLEY_|NODE_OPTIONS$|NODE_V8_COVERAGE$)/.test(name) ||
      name === 'PARLEY_NATS_SERVER' ||
      name === 'PARLEY_CACHE',
  )
  return { ...Object.fromEntries(kept), ...own }
}

const textOf = (child: ChildProcess, stream: 'stdout' | 'stderr'): (() => string) => {
  let text = ''
  child[stream]!.setEncoding('utf8').on('data', (some: string) => {
    text += some
  })
  return () => text
}

/** Runs to the end. */
const run = async (command: string, args: string[], own: Record<string, string>, input = '') => {
  const child = spawn(command, args, { cwd: ROOT, env: env(own), timeout: RUN_MS })
  child.stdin.end(input)
  return outcomeOf(child)
}

/** `parley up` on free ports and a fresh data directory, gone at the end; answers the address of its API. */
const up = async (t: Test): Promise<{ server: string; folder: string }> => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-readme-'))
  const args = ['cmd/parley.ts', 'up', '--data', join(folder, 'data')]
  args.push('--api-port', '0', '--gateway-port', '0', '--log-level', 'warn')
  const child = spawn(process.execPath, args, { cwd: ROOT, env: env({}) })
  const [out, err] = [textOf(child, 'stdout'), textOf(child, 'stderr')]
  const exit = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exit
    rmSync(folder, { recursive: true, force: true })
  })
  const signal = AbortSignal.timeout(START_MS)
  const started = async (): Promise<string> => {
    for (;;) {
      const server = /^ +API +(http:\S+)$/m.exec(out())?.[1]
      if (server !== undefined && out().includes('Try it')) return server
      await once(child.stdout, 'data', { signal })
    }
  }
  const server = await Promise.race([started(), exit.then(() => undefined)]).catch(() => undefined)
  if (server === undefined) throw new Error(`parley up does not serve:\n${out()}${err()}`)
  return { server, folder }
}

const clocks = (text: string): string => text.replace(/^\d\d:\d\d:\d\d /gm, '00:00:00 ')

t.test('README.md works when pasted', async (t) => {
  const { server, folder } = await up(t)
  const own = { PARLEY_SERVER: server, PARLEY_HOME: join(folder, 'home') }

  // The start of npx takes longer than what it starts; once, further down, it is the real one.
  const npx = `npx() { "${process.execPath}" "cmd/$1.mjs" "\${@:2}"; }\n`
  const session = npx + blockOf('Chat', 'sh')
  const { code, out, err } = await run('bash', ['-euo', 'pipefail'], own, session)
  t.equal(code, 0, err)
  const shown = blockOf('Chat', 'text')
  t.ok(shown.split('\n').length > 3)
  t.equal(clocks(out).slice(-clocks(shown).length), clocks(shown), 'what it is said to print')

  mkdirSync(join(ROOT, '.cache'), { recursive: true })
  const place = mkdtempSync(join(ROOT, '.cache/readme-'))
  t.teardown(() => rmSync(place, { recursive: true, force: true }))
  const example = blockOf('The wire, by hand', 'js')
  t.ok(example.trim().split('\n').length < 30, 'it is short')
  writeFileSync(join(place, 'hello.mjs'), example)
  const raw = await run(process.execPath, [join(place, 'hello.mjs')], own)
  t.equal(raw.code, 0, raw.err)
  t.match(raw.out, /\[ 2, \d+n, \[ 'Hello 👋' \] \]/)
  t.notMatch(raw.out, 'refused')

  const rooms = await run('npx', ['parley', '--profile', 'bob', 'rooms', '--json'], own)
  const unread = rooms.out
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { unread: number }).unread)
  t.same(
    unread,
    [1, 0],
    'bob has the message of the example, newest first, and has read the session',
  )

  const noPython = spawnSync('python3', ['--version']).status === 0 ? false : 'there is no python3'
  await t.test('the client in Python', { skip: noPython }, async (t) => {
    const python = (...args: string[]) => {
      const state = ['--api', server, '--state', join(folder, 'python.json')]
      const account = ['ann', 'correct horse']
      return run('python3', ['docs/examples/client.py', ...state, ...account, ...args], own)
    }
    t.match(await python('send', 'bob', 'Hello from 🐍'), { code: 0 })
    const tail = await python('tail', 'bob', '1')
    t.equal(tail.code, 0, tail.err)
    const history = ['cmd/parley.mjs', '--profile', 'bob', 'history', '@ann', '--limit', '1']
    const told = await run(process.execPath, history, own)
    t.equal(clocks(told.out), '00:00:00 ann: Hello from 🐍\n')
  })
})
