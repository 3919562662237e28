/** People who chat by the command line, each on devices of their own. */
import type { Test } from 'tap'
import { eventually } from '../../../lib/testing/eventually.ts'
import { seeded } from '../../../lib/testing/seeded.ts'
import { type Chat, within } from '../chat.ts'
import type { Server } from '../server.ts'
import { textOf } from '../text.ts'
import { as, json, SOON_MS, texts } from './lines.ts'

const KEYS = ['room', 'seq', 'id', 'time', 'sender', 'text']

export const chatting = (t: Test, server: Server, chat: Chat): void => {
  t.test('two people meet', async (t) => {
    const [hello = ''] = await chat.enter('register', 'ann', 'ann', 'correct horse')
    t.match(hello, /You are @ann \(u[\w-]+\) on http:\/\/127\.0\.0\.1:\d+, device v[\w-]+\./)
    const [bob] = json(await chat.enter('register', 'bob', 'bob', 'battery staple', '--json'))
    t.match(bob, { user: /^u/, handle: 'bob', device: /^v/, server: server.api })

    const sent = await chat.run(as('ann', 'send', '@bob', 'Hello, Bob 👋🏽'))
    t.equal(sent.code, 0)
    const [line] = json(await chat.lines(as('bob', 'history', '@ann', '--json')))
    t.same(Object.keys(line ?? {}), KEYS, 'one JSON object a line')
    t.match(line, { text: 'Hello, Bob 👋🏽', seq: 2, id: /^\d+$/ })
    const [read = ''] = await chat.lines(as('bob', 'history', '@ann'))
    t.match(read, /^\d\d:\d\d:\d\d ann: Hello, Bob 👋🏽$/, 'for a person: when, who, what')

    const [room = ''] = await eventually(
      'the list of rooms has the message',
      async () => {
        const rooms = await chat.lines(as('bob', 'rooms'))
        return /Hello/.test(rooms[0] ?? '') && rooms
      },
      { within: SOON_MS },
    )
    t.match(room, /^d[\w-]{22} {2}@ann {2}\(1 new\) {2}.*ann: Hello, Bob/)
    t.match(json(await chat.lines(as('bob', 'rooms', '--json'))), [
      { kind: 'dm', head: 2, unread: 1, left: false },
    ])
  })

  t.test('a second device has what was said before it came', async (t) => {
    await chat.enter('login', 'phone', 'bob', 'battery staple', '--device', 'phone')
    const first = await chat.lines(as('phone', 'sync', '--json'))
    t.same(texts(first), ['Hello, Bob 👋🏽'])
    t.same(await chat.lines(as('phone', 'sync', '--json')), [], 'a second sync has nothing new')
    await chat.lines(as('bob', 'send', '@ann', 'Hi Ann'))
    const own = await eventually(
      'the phone has what the other device sent',
      async () => {
        const lines = await chat.lines(as('phone', 'sync', '--json'))
        return lines.length > 0 && lines
      },
      { within: SOON_MS },
    )
    t.same(texts(own), ['Hi Ann'])
  })

  t.test('a group, by name and by id', async (t) => {
    const [id = ''] = await chat.lines(as('ann', 'create', 'Tea & Cake', 'bob'))
    t.match(id, /^g[\w-]{21}$/)
    await chat.lines(as('ann', 'send', 'Tea & Cake', 'At four?'))
    await chat.lines(as('bob', 'send', id, 'Gladly.'))
    t.same(texts(await chat.lines(as('ann', '--json', 'history', id))), ['At four?', 'Gladly.'])
    const kinds = json(await chat.lines(as('bob', '--json', 'history', id, '--events')))
    t.match(kinds[0], { kind: 'created', title: 'Tea & Cake', seq: 1 })
    t.equal(kinds.length, 3)
    t.same(texts(await chat.lines(as('bob', '--json', 'history', id, '--limit', '1'))), ['Gladly.'])
    t.same(texts(await chat.lines(as('bob', '--json', 'history', id, '--before', '3'))), [
      'At four?',
    ])
  })

  t.test('tail shows what comes, and ends when told to', async (t) => {
    const tail = chat.start(...as('bob', '--json', 'tail', '@ann', '--from', '1', '--count', '4'))
    const lines: string[] = []
    tail.onLine((line) => lines.push(line))
    await eventually('it shows what there is', () => lines.length === 2, { within: SOON_MS })
    await chat.lines(as('ann', 'send', '@bob', 'third'))
    await eventually('it shows what comes', () => lines.length === 3, { within: SOON_MS })
    await chat.lines(as('ann', 'send', '@bob', 'fourth'))
    t.match(await within(tail, SOON_MS, 'a tail of four'), { code: 0 })
    t.same(texts(lines), ['Hello, Bob 👋🏽', 'Hi Ann', 'third', 'fourth'])

    const endless = chat.start(...as('bob', 'tail', '@ann', '--from', '5'))
    await eventually('it shows the last', () => /fourth/.test(endless.tail), { within: SOON_MS })
    t.same(await chat.lines(as('bob', 'send', '@ann', 'beside a tail')), [])
    await eventually('it goes on beside a send', () => /beside/.test(endless.tail), {
      within: SOON_MS,
    })
    endless.kill('SIGINT')
    t.match(await within(endless, SOON_MS, 'a tail that is stopped'), { code: 130 })
  })

  t.test('a text piped in comes out the same', async (t) => {
    const text = textOf(300, seeded(3))
    const input = `${text.join('\n')}\n`
    const acks = await chat.lines(as('ann', '--json', 'send', '@bob', '-'), input)
    t.same(texts(acks), text, 'one ack a line, in order')
    t.same(texts(await chat.lines(as('bob', '--json', 'history', '@ann', '--limit', '300'))), text)
    const seqs = json(acks).map(({ seq }) => Number(seq))
    t.same(
      seqs,
      seqs.map((_, i) => seqs[0]! + i),
      'dense',
    )

    const gaps = '\n\nafter two empty lines\n\n\nbefore the last\nno line break at the end'
    await chat.lines(as('ann', 'send', '@bob'), gaps)
    const back = texts(await chat.lines(as('bob', '--json', 'history', '@ann', '--limit', '3')))
    t.equal(back.join('\n'), gaps, 'empty lines too')
  })

  t.test('a send that is killed leaves the rest for the next', async (t) => {
    const text = textOf(2_000, seeded(4))
    const sender = chat.start(...as('ann', '--json', 'send', '@bob', '-'))
    let acked = 0
    sender.onLine(() => {
      acked++
    })
    sender.stdin.write(`${text.join('\n')}\n`)
    await eventually('some are acked', () => acked > 200, { within: SOON_MS, every: 1 })
    sender.kill('SIGKILL')
    await sender.exit
    await chat.lines(as('ann', 'sync'))
    const limit = ['--limit', String(text.length)]
    const lines = texts(await chat.lines(as('bob', '--json', 'history', '@ann', ...limit)))
    const arrived = lines.slice(lines.indexOf(text[0]))
    t.ok(arrived.length >= acked, 'what was acked, and more')
    t.same(arrived, text.slice(0, arrived.length), 'in order, once, without a gap')
  })
}
