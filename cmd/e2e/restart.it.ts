/** One server over its life: told to stop, started again, started twice, left with an orphan. */
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { eventually } from '../../lib/testing/eventually.ts'
import { seeded } from '../../lib/testing/seeded.ts'
import { isAlive } from '../../nats/orphan.ts'
import { Chat, within } from './chat.ts'
import { Judge } from './judge.ts'
import { Server } from './server.ts'
import { textOf } from './text.ts'

t.setTimeout(600_000)

const SOON_MS = 60_000
const LINES = 600
/** The last of them. */
const LATE = 100

// So slow that the text is on its way for a while.
const server = await Server.start(['--frame-rate', '200', '--frame-burst', '100'])
t.teardown(() => server.end())
const chat = await Chat.open(server.api)
t.teardown(() => chat.end())
for (const name of ['ann', 'bob']) {
  await chat.lines(['--profile', name, 'register', name, '--password', `${name} is here`])
}

const history = (limit: number) =>
  chat.lines([
    ...['--profile', 'bob', '--json', 'history', '@ann', '--events', '--limit', String(limit)],
  ])

t.test('a second `up` on a live data directory refuses, and says why', async (t) => {
  const pid = server.pid
  const second = server.second()
  const exit = await within(second, SOON_MS, 'the second up')
  t.equal(exit.code, 1)
  t.match(second.tail, /parley: /, 'in words')
  t.match(second.tail, new RegExp(`${server.data}|in use|already`), 'what is in use')
  t.equal(server.pid, pid, 'the first one is there')
  await chat.lines(['--profile', 'ann', 'send', '@bob', 'still here'])
})

t.test('SIGTERM while a text is on its way: drained, and nothing lost', async (t) => {
  const text = textOf(LINES, seeded(5))
  const sender = chat.start('--profile', 'ann', '--json', 'send', '@bob', '-')
  const acks: string[] = []
  sender.onLine((line) => acks.push(line))
  const before = text.slice(0, -LATE)
  sender.stdin.write(`${before.join('\n')}\n`)
  await eventually('a third is acked', () => acks.length > LINES / 3, { within: SOON_MS, every: 1 })
  t.ok(acks.length < before.length, 'lines are on their way')
  const exit = await server.stop()
  // Given to a sender whose server is away.
  sender.stdin.end(`${text.slice(-LATE).join('\n')}\n`)
  t.same(exit, { code: 0, signal: null }, 'drained', { tail: server.tail })
  t.equal(server.natsPid, undefined, 'its nats-server went with it')
  await server.start()
  t.match(await within(sender, SOON_MS, 'send -'), { code: 0 })

  const judge = new Judge('r', 'ann', ['still here', ...text])
  for (const line of acks) judge.ack(line)
  const lines = await history(LINES + 10)
  judge.ack(lines[1]!)
  lines.forEach(judge.screen('bob'))
  t.same(judge.invariants.finish({ settled: true }), [])
})

t.test(
  'kill -9 of `up`: its nats-server is an orphan, and the next `up` deals with it',
  async (t) => {
    const orphan = server.natsPid
    await server.kill()
    t.ok(orphan !== undefined && isAlive(orphan), 'there is an orphan')
    await chat
      .run(['--profile', 'bob', 'rooms'])
      .then(({ code }) => t.equal(code, 3, 'nobody serves meanwhile'))
    await server.start()
    t.ok(orphan === server.natsPid || !isAlive(orphan!), 'one nats-server on the store')
    t.equal((await history(LINES + 10)).length, LINES + 2)
  },
)

t.test('kill -9 of everything, twice in quick succession', async (t) => {
  const random = seeded(6)
  for (let i = 1; i <= 2; i++) {
    await chat.lines(['--profile', 'ann', 'send', '@bob', `before kill ${i}`])
    t.ok(await server.killAll())
    const starting = server.start()
    await pause(random() * 2_000)
    await server.killNats()
    await starting
  }
  const last = (await history(2)).map((line) => (JSON.parse(line) as { text: string }).text)
  t.same(last, ['before kill 1', 'before kill 2'])
})
