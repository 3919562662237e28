/** One server over its life: told to stop, started again, started twice, left with an orphan. People of both modes live through it. */
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { eventually } from '../../lib/testing/eventually.ts'
import { seeded } from '../../lib/testing/seeded.ts'
import { isAlive } from '../../nats/orphan.ts'
import { Chat, within } from './chat.ts'
import { Judge } from './judge.ts'
import { MODES, type Mode } from './mode.ts'
import { Server } from './server.ts'
import { textOf } from './text.ts'

t.setTimeout(1_200_000)

const SOON_MS = 120_000
const LINES = 600
/** Lines given at first, and the last ones. */
const EARLY = 300
const LATE = 100

/** Ann writes to bob, on devices of one mode. */
class Pair {
  readonly mode: Mode
  readonly #chat: Chat

  private constructor(mode: Mode, chat: Chat) {
    this.mode = mode
    this.#chat = chat
  }

  static async meet(server: Server, mode: Mode): Promise<Pair> {
    const chat = await Chat.open(server.api, mode)
    t.teardown(() => chat.end())
    const pair = new Pair(mode, chat)
    for (const name of ['ann', 'bob']) {
      await chat.enter('register', name, pair.handle(name), `${name} is here`)
    }
    return pair
  }

  handle(name: string): string {
    return `${name}.${this.mode}`
  }

  says(text: string): Promise<readonly string[]> {
    return this.#chat.lines(['--profile', 'ann', 'send', `@${this.handle('bob')}`, text])
  }

  /** `send -`. */
  pipes() {
    return this.#chat.start('--profile', 'ann', '--json', 'send', `@${this.handle('bob')}`, '-')
  }

  history(limit: number): Promise<readonly string[]> {
    const room = ['history', `@${this.handle('ann')}`, '--events', '--limit', String(limit)]
    return this.#chat.lines(['--profile', 'bob', '--json', ...room])
  }

  /** What is new on bob's device, as soon as there are `count` events. */
  async syncs(count: number): Promise<readonly string[]> {
    const lines: string[] = []
    await eventually(
      `a sync of ${this.handle('bob')} shows ${count} events`,
      async () => {
        lines.push(...(await this.#chat.lines(['--profile', 'bob', '--json', 'sync', '--events'])))
        return lines.length >= count
      },
      { within: SOON_MS },
    )
    return lines
  }

  rooms() {
    return this.#chat.run(['--profile', 'bob', 'rooms'])
  }
}

// So slow that the text is on its way for a while.
const server = await Server.start(['--frame-rate', '200', '--frame-burst', '100'])
t.teardown(() => server.end())
const pairs = await Promise.all(MODES.map((mode) => Pair.meet(server, mode)))
const each = <T>(work: (pair: Pair) => Promise<T>): Promise<T[]> => Promise.all(pairs.map(work))

t.test('a second `up` on a live data directory refuses, and says why', async (t) => {
  const pid = server.pid
  const second = server.second()
  const exit = await within(second, SOON_MS, 'the second up')
  t.equal(exit.code, 1)
  t.match(second.tail, /parley: /, 'in words')
  t.match(second.tail, new RegExp(`${server.data}|in use|already`), 'what is in use')
  t.equal(server.pid, pid, 'the first one is there')
  await each((pair) => pair.says('still here'))
})

t.test('SIGTERM while texts are on their way: drained, and nothing lost', async (t) => {
  const text = textOf(LINES, seeded(5))
  const piped = (from: number, to?: number): string => `${text.slice(from, to).join('\n')}\n`
  const sending = pairs.map((pair) => {
    const sender = pair.pipes()
    const acks: string[] = []
    sender.onLine((line) => acks.push(line))
    sender.stdin.write(piped(0, EARLY))
    return { pair, sender, acks }
  })
  await eventually('a third is acked', () => sending.every(({ acks }) => acks.length > LINES / 3), {
    within: SOON_MS,
    every: 1,
  })
  // More than the rate lets through in the moment until the signal comes.
  for (const { sender } of sending) sender.stdin.write(piped(EARLY, -LATE))
  const exit = await server.stop()
  // Given to senders whose server is away.
  for (const { sender } of sending) sender.stdin.end(piped(-LATE))
  t.same(exit, { code: 0, signal: null }, 'drained', { tail: server.tail })
  t.equal(server.natsPid, undefined, 'its nats-server went with it')
  await server.start()

  for (const { pair, sender, acks } of sending) {
    t.match(await within(sender, SOON_MS, 'send -'), { code: 0 })
    const judge = new Judge('r', 'ann', ['still here', ...text])
    for (const line of acks) judge.ack(line)
    const lines = await pair.history(LINES + 10)
    judge.ack(lines[1]!)
    lines.forEach(judge.screen('bob, history'))
    const synced = await pair.syncs(LINES + 2)
    synced.forEach(judge.screen('bob, sync'))
    t.same(judge.invariants.finish({ settled: true }), [], pair.mode)
    t.equal(judge.missing(LINES + 2), 0, pair.mode)
  }
})

t.test(
  'kill -9 of `up`: its nats-server is an orphan, and the next `up` deals with it',
  async (t) => {
    const orphan = server.natsPid
    await server.kill()
    t.ok(orphan !== undefined && isAlive(orphan), 'there is an orphan')
    for (const { code } of await each((pair) => pair.rooms())) {
      t.equal(code, 3, 'nobody serves meanwhile')
    }
    await server.start()
    t.ok(orphan === server.natsPid || !isAlive(orphan!), 'one nats-server on the store')
    for (const lines of await each((pair) => pair.history(LINES + 10))) {
      t.equal(lines.length, LINES + 2)
    }
  },
)

t.test('kill -9 of everything, twice in quick succession', async (t) => {
  const random = seeded(6)
  const said = [1, 2].map((i) => `before kill ${i}`)
  for (const text of said) {
    await each((pair) => pair.says(text))
    t.ok(await server.killAll())
    const starting = server.start()
    await pause(random() * 2_000)
    await server.killNats()
    await starting
  }
  const texts = (lines: readonly string[]) =>
    lines.map((line) => (JSON.parse(line) as { text: string }).text)
  for (const lines of await each((pair) => pair.history(2))) t.same(texts(lines), said, 'history')
  for (const lines of await each((pair) => pair.syncs(2))) t.same(texts(lines), said, 'sync')
})
