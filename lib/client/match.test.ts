import fc from 'fast-check'
import t from 'tap'
import type { RoomId, UserId } from '../ids.ts'
import type { Command } from './command.ts'
import type { Message, RoomEvent } from './events.ts'
import { candidates, fits, match } from './match.ts'

const room = 'groom-of-two' as RoomId
const me = 'uann' as UserId
const ben = 'uben' as UserId
const fact = { room, seq: 1, ord: 1, id: '1', time: 1, sender: me }
const said = (seq: number, text: string, sender = me): Message => ({
  ...fact,
  kind: 'message',
  seq,
  sender,
  text,
})
const send = (text: string, after = 0) => ({
  command: { name: 'send', room, text, peer: null } as Command,
  after,
  before: Number.POSITIVE_INFINITY,
})
const found = (sought: ReturnType<typeof send>[], events: RoomEvent[]) => {
  const all = match(sought, candidates(sought, events, me))
  return sought.map((one) => all.get(one)?.seq)
}

t.test('N4 what the history has of mine, in order', async (t) => {
  const events = [said(4, 'a'), said(5, 'b', ben), said(6, 'c')]
  t.strictSame(found([send('a'), send('b'), send('c')], events), [4, undefined, 6])
})

t.test('N4 of equal texts the first were sent first', async (t) => {
  t.strictSame(found([send('x'), send('x'), send('x')], [said(4, 'x'), said(5, 'x')]), [
    4,
    5,
    undefined,
  ])
})

t.test('N4 only what came after the app gave it', async (t) => {
  t.strictSame(found([send('x', 4)], [said(4, 'x')]), [undefined])
  t.strictSame(found([send('x', 4)], [said(4, 'x'), said(5, 'x')]), [5])
})

t.test('N4 only what stands between the acks of its neighbours', async (t) => {
  const bounded = { ...send('x', 4), before: 7 }
  t.strictSame(found([bounded], [said(4, 'x'), said(7, 'x'), said(8, 'x')]), [undefined])
  t.strictSame(found([bounded], [said(4, 'x'), said(6, 'x'), said(8, 'x')]), [6])
})

t.test(
  'N4 an equal text of another device ahead of mine does not take the place of more',
  async (t) => {
    const events = [said(4, 'c'), said(5, 'a'), said(6, 'b')]
    t.strictSame(found([send('a'), send('b'), send('c')], events), [5, 6, undefined])
  },
)

t.test('N4 whatever was committed in order is found, whatever is between', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('a', 'b'), { maxLength: 12 }),
      fc.nat({ max: 12 }),
      fc.array(fc.constantFrom('a', 'b', 'z'), { maxLength: 12 }),
      (texts, committed, others) => {
        const sought = texts.map((text) => send(text))
        const events: Message[] = []
        for (const text of texts.slice(0, committed)) {
          events.push(said(events.length + 1, text))
          const other = others.pop()
          if (other !== undefined) events.push(said(events.length + 1, other, ben))
        }
        const seqs = found(sought, events)
        const mine = events.filter(({ sender }) => sender === me).map(({ seq }) => seq)
        const want = texts.map((_, index) => mine[index])
        if (JSON.stringify(seqs) !== JSON.stringify(want)) throw new Error(`${seqs} for ${want}`)
      },
    ),
  )
})

t.test('each kind of command is known by its event', async (t) => {
  const commands: [Command, RoomEvent][] = [
    [{ name: 'send', room, text: 'x', peer: null }, said(1, 'x')],
    [
      { name: 'create', room, title: 'x', openHistory: false, members: [] },
      { ...fact, kind: 'created', title: 'x', openHistory: false, members: [] },
    ],
    [
      { name: 'add', room, users: [ben, me] },
      { ...fact, kind: 'added', users: [ben] },
    ],
    [
      { name: 'remove', room, user: ben },
      { ...fact, kind: 'removed', user: ben },
    ],
    [
      { name: 'leave', room },
      { ...fact, kind: 'left', user: me },
    ],
    [
      { name: 'role', room, user: ben, role: 1 },
      { ...fact, kind: 'role', user: ben, role: 'admin' },
    ],
  ]
  for (const [command] of commands) {
    for (const [other, event] of commands) {
      t.equal(fits(command, event), command === other, `${command.name} ${event.kind}`)
    }
  }
  t.notOk(fits({ name: 'send', room, text: 'y', peer: null }, said(1, 'x')))
  t.notOk(fits({ name: 'remove', room, user: me }, { ...fact, kind: 'removed', user: ben }))
  t.notOk(fits({ name: 'add', room, users: [me] }, { ...fact, kind: 'added', users: [ben] }))
})
