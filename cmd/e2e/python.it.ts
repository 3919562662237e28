/** A client in another language, written from PROTOCOL.md alone: docs/examples/client.py. */
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { seeded } from '../../lib/testing/seeded.ts'
import { Chat, within } from './chat.ts'
import { Child } from './child.ts'
import { Judge } from './judge.ts'
import { Server } from './server.ts'
import { textOf } from './text.ts'

t.setTimeout(1_200_000)

const CLIENT = resolve(import.meta.dirname, '../../docs/examples/client.py')
const LINES = 400
const SEND_MS = 240_000

const speak = async (t: Test): Promise<void> => {
  await using server = await Server.start()
  await using chat = await Chat.open(server.api, 'cursor')
  const python = (handle: string, ...args: readonly string[]): Child => {
    const state = join(chat.home, `${handle}.json`)
    const own = [CLIENT, '--api', server.api, '--state', state, handle, `${handle} is here`]
    return new Child('python3', [...own, ...args])
  }
  await chat.enter('register', 'ann', 'ann', 'ann is here')
  const greeting = 'Здравствуй, Анна 🙂'
  // Python takes a carriage return for the end of a line.
  const rest = textOf(LINES, seeded(8)).map((line) => line.replaceAll('\r', ' '))
  const text = [greeting, ...rest]
  const tail: string[] = []
  const make = python('pia', 'send', 'ann', greeting)
  t.match(
    await within(make, SEND_MS, 'client.py send'),
    { code: 0 },
    'it makes an account and sends',
  )
  const live = chat.start(
    '--profile',
    'ann',
    '--json',
    'tail',
    '@pia',
    '--from',
    '1',
    '--events',
    '--count',
    String(LINES + 2),
  )
  live.onLine((line) => tail.push(line))

  const sender = python('pia', 'send', 'ann')
  sender.stdin.end(`${rest.join('\n')}\n`)
  t.match(await within(sender, SEND_MS, 'client.py send'), { code: 0 }, 'it pipes a text')
  t.match(await within(live, SEND_MS, 'tail'), { code: 0 })

  const judge = new Judge('dm', 'pia', text)
  // The client prints no acks; its exit says that there was one for each.
  for (const line of tail.slice(1)) judge.ack(line)
  tail.forEach(judge.screen('ann'))

  // It shows messages only: not the event that made the room.
  const screen = judge.screen('pia', 2)
  const more = ['שלום 👩🏾‍🚀', 'e\u0301']
  const back = python('pia', 'tail', 'ann', String(text.length + more.length))
  const heard: string[] = []
  back.onLine((line) => heard.push(line))
  for (const line of more) await chat.lines(['--profile', 'ann', 'send', '@pia', line])
  t.match(await within(back, SEND_MS, 'client.py tail'), { code: 0 }, 'it follows a room')
  for (const line of heard.splice(0, text.length)) screen(line)
  t.same(
    heard.map((line) => (JSON.parse(line) as { text: string }).text),
    more,
  )
  t.same(judge.invariants.finish({ settled: true }), [])

  for (const line of more) await chat.lines(['--profile', 'ann', 'send', '@pia', line])
  const one = python('pia', 'tail', 'ann', '1')
  t.match(await within(one, SEND_MS, 'client.py tail'), { code: 0 }, 'it goes on where it was')
  t.match(one.tail, /שלום/)
  t.equal(one.tail.split('\n').filter((line) => line.startsWith('{')).length, 1, 'one is one')
}

const found = spawnSync('python3', ['--version'], { encoding: 'utf8' })
if (found.status === 0) {
  t.test('a client in Python speaks with the command line', speak)
} else if (process.env.CI === 'true') {
  t.fail('there is no python3, and docs/examples/client.py goes untested')
} else {
  t.pass('SKIPPED', { skip: 'there is no python3: docs/examples/client.py goes untested' })
}
