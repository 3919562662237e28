import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { eventually } from '../../lib/testing/eventually.ts'
import { outcomeOf } from '../../lib/testing/outcome.ts'
import { freePorts } from '../../lib/testing/ports.ts'

const PARLEY = fileURLToPath(new URL('../parley.ts', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'parley-cli-'))
const [apiPort, gatewayPort] = (await freePorts(2)) as [number, number]
const SERVER = `http://127.0.0.1:${apiPort}`
const PASSWORD = 'correct horse'

/** Without what a test runner puts in to measure its own processes. */
const { NODE_OPTIONS: _, ...clean } = process.env
const env = { ...clean, PARLEY_HOME: join(folder, 'home'), PARLEY_SERVER: SERVER }

const start = (args: readonly string[], more: Record<string, string> = {}): ChildProcess =>
  spawn(process.execPath, [PARLEY, ...args], { env: { ...env, ...more } })

const settings = ['--api-port', `${apiPort}`, '--gateway-port', `${gatewayPort}`]
let up: ChildProcess
const startUp = async (): Promise<void> => {
  const args = ['up', '--data', join(folder, 'data'), '--log-level', 'warn', ...settings]
  up = start([...args, '--frame-rate', '100000', '--frame-burst', '100000'])
  let said = ''
  for (const stream of [up.stdout, up.stderr]) {
    stream?.on('data', (chunk) => {
      said = (said + chunk).slice(-4_000)
    })
  }
  await eventually('parley is up', () => said.includes('Parley is up') || throwing(said), {
    within: 90_000,
    every: 50,
  })
}
const throwing = (said: string): never => {
  throw new Error(said)
}
t.teardown(async () => {
  up.kill('SIGTERM')
  if (up.exitCode === null && up.signalCode === null) await once(up, 'exit')
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
})

const ending = async (child: ChildProcess) => {
  const { code, out, err } = await outcomeOf(child)
  return { code, out, notes: err }
}
const parley = (args: readonly string[], input = '', more: Record<string, string> = {}) => {
  const child = start(args, more)
  child.stdin?.end(input)
  return ending(child)
}
const as = (profile: string, ...args: string[]) => ['--profile', profile, ...args]

type Line = { room: string; seq: number; id: string; time: number; sender: string; text: string }
const linesIn = (out: string): Line[] =>
  out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
const textOf = (out: string): string =>
  linesIn(out)
    .map(({ text }) => `${text}\n`)
    .join('')

t.setTimeout(600_000)
await startUp()

t.test('register, login, and what goes wrong with them', async (t) => {
  const made = await parley(as('ann', 'register', 'Ann', '--password', PASSWORD))
  t.equal(made.code, 0, made.notes)
  t.match(made.out, /^You are @ann \(u.*\) on http:.*, device v/)
  const json = await parley(as('ben', '--json', 'register', 'ben'), '', {
    PARLEY_PASSWORD: PASSWORD,
  })
  t.match(JSON.parse(json.out), { user: /^u/, handle: 'ben', device: /^v/, server: SERVER })
  const second = await parley(as('ben2', 'login', '@ben', '--password', PASSWORD))
  t.equal(second.code, 0, second.notes)
  const taken = await parley(as('x', 'register', 'ann', '--password', PASSWORD))
  t.equal(taken.code, 5)
  t.match(taken.notes, /@ann is taken/)
  const wrong = await parley(as('x', 'login', 'ann', '--password', 'wrong horse'))
  t.equal(wrong.code, 4)
  const silent = await parley(as('x', 'login', 'ann'))
  t.equal(silent.code, 2)
  t.match(silent.notes, /PARLEY_PASSWORD/)
})

t.test('exit codes for scripts', async (t) => {
  const codes: [string[], number][] = [
    [['nonsense'], 2],
    [['send'], 2],
    [as('ann', 'tail', '@ben', '--from', '0'), 2],
    [as('ann', 'history', '@ben', '--limit', 'x'), 2],
    [as('../up', 'rooms'), 2],
    [['--server', 'nonsense', 'rooms'], 2],
    [as('ann', '--server', 'http://127.0.0.1:9', 'rooms'), 3],
    [as('nobody', 'rooms'), 4],
    [as('ann', 'send', '@nobody', 'x'), 5],
    [as('ann', 'send', 'no such room', 'x'), 2],
    [as('ann', 'send', 'gforeign-room-of-others', 'x'), 5],
    [as('ann', 'history', 'gforeign-room-of-others'), 5],
    [['--help'], 0],
    [['send', '--help'], 0],
  ]
  for (const [args, code] of codes) {
    const ended = await parley(args)
    t.equal(ended.code, code, `${args.join(' ')}: ${ended.notes.slice(0, 300)}`)
  }
})

t.test('a text through a pipe: whole, in order, once, live and by catch-up', async (t) => {
  const words = [
    'héllo',
    'שלום עולם',
    '你好',
    '👩‍👩‍👧‍👦 family',
    'é̂',
    'مرحبا',
    '🇩🇪 flag',
    '\t tab',
    '',
    '',
  ]
  const text = Array.from({ length: 3_000 }, (_, n) => {
    const word = words[n % words.length]
    return word === '' ? '\n' : `${n} ${word}\n`
  }).join('')
  const tail = start(as('ben', '--json', 'tail', '@ann'))
  const live = ending(tail)
  // It follows once it is connected: a first message shows that.
  const hello = await parley(as('ann', '--json', 'send', '@ben', 'hello'))
  t.strictSame(Object.keys(linesIn(hello.out)[0] ?? {}), [
    'room',
    'seq',
    'id',
    'time',
    'sender',
    'text',
  ])
  let seen = ''
  tail.stdout?.on('data', (chunk) => {
    seen += chunk
  })
  await eventually(
    'the tail follows',
    async () => {
      if (seen !== '') return true
      await parley(as('ann', 'send', '@ben', 'ping'))
      return false
    },
    { within: 30_000 },
  )

  const sent = await parley(as('ann', '--json', 'send', '@ben', '-'), text)
  t.equal(sent.code, 0, sent.notes)
  t.equal(textOf(sent.out), text, 'acked in the order of the lines')
  const seqs = linesIn(sent.out).map(({ seq }) => seq)
  t.strictSame(
    seqs,
    [...seqs].sort((a, b) => a - b),
  )

  const whole = () => seen.slice(0, seen.lastIndexOf('\n') + 1)
  await eventually('the tail has all', () => textOf(whole()).endsWith(text), {
    within: 30_000,
    every: 100,
  })
  tail.kill('SIGINT')
  const followed = await live
  t.equal(followed.code, 130)
  t.ok(textOf(followed.out).endsWith(text), 'live')

  const synced = await parley(as('ben2', '--json', 'sync'))
  t.ok(textOf(synced.out).endsWith(text), 'by catch-up')
  t.equal((await parley(as('ben2', '--json', 'sync'))).out, '', 'once')
  const history = await parley(as('ben', '--json', 'history', '@ann', '--limit', '100000'))
  t.equal(history.out, synced.out, 'and the history gives the same')
  const wanted = linesIn(history.out).slice(-50, -10)
  const before = `${linesIn(history.out).at(-10)?.seq}`
  const page = await parley(
    as('ben', '--json', 'history', '@ann', '--limit', '40', '--before', before),
  )
  t.strictSame(linesIn(page.out), wanted)
  const from = `${linesIn(history.out).at(-5)?.seq}`
  const end = await parley(as('ben', '--json', 'tail', '@ann', '--from', from, '--count', '5'))
  t.strictSame(linesIn(end.out), linesIn(history.out).slice(-5))
})

t.test('groups by name, and who came and went', async (t) => {
  const made = await parley(as('ann', 'create', 'Team', '@ben'))
  t.match(made.out, /^g[\w-]{21}\n$/)
  t.equal((await parley(as('ben', 'send', 'Team', 'hi'))).code, 0)
  const rooms = await parley(as('ann', 'rooms'))
  t.match(rooms.out.split('\n')[0], /^g.*Team {2}\(1 new\).*ben: hi$/)
  const json = linesIn((await parley(as('ann', 'rooms', '--json'))).out)
  t.match(json[0], { room: made.out.trim(), kind: 'group', title: 'Team', unread: 1 })
  const events = linesIn((await parley(as('ann', 'history', 'Team', '--events', '--json'))).out)
  t.match(events, [{ kind: 'created', title: 'Team' }, { text: 'hi' }])
  t.match((await parley(as('ann', 'history', 'Team'))).out, /^\d\d:\d\d:\d\d ben: hi\n$/)
  await parley(as('ann', 'create', 'Team'))
  t.equal((await parley(as('ann', 'send', 'Team', 'which?'))).code, 2)
})

t.test('N6 a second send on a profile waits for the first, and says so', async (t) => {
  const first = start(as('ann', 'send', '@ben', '-'))
  const one = ending(first)
  first.stdin?.write('first\n')
  const history = async () =>
    linesIn((await parley(as('ben', '--json', 'history', '@ann', '--limit', '2'))).out)
  await eventually('the first is sending', async () => (await history()).at(-1)?.text === 'first', {
    within: 20_000,
  })
  const second = start(as('ann', 'send', '@ben', 'second'))
  let notes = ''
  second.stderr?.on('data', (chunk) => {
    notes += chunk
  })
  const two = ending(second)
  await eventually('it says what it waits for', () => notes.includes(`process ${first.pid}`), {
    within: 20_000,
  })
  t.equal((await history()).at(-1)?.text, 'first')
  first.stdin?.end('last of the first\n')
  t.equal((await one).code, 0)
  t.equal((await two).code, 0)
  t.strictSame(
    (await history()).map(({ text }) => text),
    ['last of the first', 'second'],
  )
})

t.test(
  'send rides through kill -9 and a restart; what Ctrl-C leaves goes out with the next',
  async (t) => {
    const sending = start(as('ann', '--json', 'send', '@ben', '-'))
    const ended = ending(sending)
    let acked = 0
    sending.stdout?.on('data', (chunk) => {
      acked += String(chunk).split('\n').length - 1
    })
    const lines = Array.from({ length: 2_000 }, (_, n) => `kill ${n}`)
    const half = lines.slice(0, 1_000)
    sending.stdin?.write(half.map((line) => `${line}\n`).join(''))
    await eventually('some are acked', () => acked > 200, { within: 20_000 })
    up.kill('SIGKILL')
    await once(up, 'exit')
    sending.stdin?.end(
      lines
        .slice(1_000)
        .map((line) => `${line}\n`)
        .join(''),
    )
    await startUp()
    const { code, out, notes } = await ended
    t.equal(code, 0, notes)
    t.strictSame(
      linesIn(out).map(({ text }) => text),
      lines,
    )
    const history = await parley(as('ben', '--json', 'history', '@ann', '--limit', '2000'))
    t.strictSame(
      linesIn(history.out).map(({ text }) => text),
      lines,
      'each once, in order',
    )

    const stopped = start(as('ann', 'send', '@ben', '-'))
    const stop = ending(stopped)
    stopped.stdin?.write('before\n')
    const newest = async () =>
      linesIn((await parley(as('ben', '--json', 'history', '@ann', '--limit', '1'))).out)[0]
    await eventually('it is sending', async () => (await newest())?.text === 'before', {
      within: 20_000,
    })
    up.kill('SIGKILL')
    await once(up, 'exit')
    const state = async () => readFile(join(env.PARLEY_HOME, 'ann', 'state.jsonl'), 'utf8')
    stopped.stdin?.write('left behind\n')
    await eventually('it is stored', async () => (await state()).includes('left behind'), {
      within: 20_000,
    })
    stopped.kill('SIGINT')
    const left = await stop
    t.equal(left.code, 130)
    t.match(left.notes, /1 message.* in the outbox/)
    await startUp()
    const login = await parley(as('ann', 'login', 'ann', '--password', PASSWORD))
    t.equal(login.code, 5, 'a login would drop it')
    t.match(login.notes, /1 message.*--discard/)
    t.equal((await parley(as('ann', 'sync'))).code, 0)
    t.equal((await newest())?.text, 'left behind')
  },
)
