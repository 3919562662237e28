import t from 'tap'
import type { RoomEvent, RoomId, Summary, UserId } from '../../lib/client/index.ts'
import { Names } from './names.ts'
import { clockOf, harmless, humanEvent, humanRoom, jsonEvent, jsonRoom, usersIn } from './print.ts'

const room = 'groom-of-two' as RoomId
const ann = 'uann' as UserId
const ben = 'uben' as UserId
const time = new Date(2026, 10, 24, 9, 5, 7).getTime()
const fact = { room, seq: 4, ord: 2, id: '18446744073709551615', time, sender: ann }
const message: RoomEvent = { ...fact, kind: 'message', text: 'Hello' }

const names = new Names({
  people: async (users) => {
    if (users.includes('ucat' as UserId)) throw new Error('no API')
    return users.flatMap((user) => (user === ann ? [{ user, handle: 'ann', name: 'Ann' }] : []))
  },
})

t.test(
  'JSON: the six fields, in their order, and a kind only for what is no message',
  async (t) => {
    t.equal(
      jsonEvent(message),
      `{"room":"groom-of-two","seq":4,"id":"18446744073709551615","time":${time},"sender":"uann","text":"Hello"}`,
    )
    t.strictSame(JSON.parse(jsonEvent({ ...fact, kind: 'added', users: [ben] })), {
      ...{ room, seq: 4, id: fact.id, time, sender: ann, kind: 'added', users: [ben] },
    })
  },
)

t.test('for a person: when, who, what', async (t) => {
  await names.learn([ann, ben, undefined])
  t.equal(humanEvent(message, names, time), '09:05:07 ann: Hello')
  t.equal(humanEvent(message, names, time + 86_400_000), '2026-11-24 09:05:07 ann: Hello')
  const said = (event: RoomEvent) => humanEvent(event, names, time).slice('09:05:07 ann: '.length)
  const members = [{ user: ann, role: 'owner' as const }]
  t.equal(
    said({ ...fact, kind: 'created', title: 'x', openHistory: false, members }),
    '* made this room with ann',
  )
  t.equal(said({ ...fact, kind: 'added', users: [ann, ben] }), '* added ann, uben')
  t.equal(said({ ...fact, kind: 'removed', user: ben }), '* removed uben')
  t.equal(said({ ...fact, kind: 'left', user: ann }), '* left')
  t.equal(said({ ...fact, kind: 'role', user: ben, role: 'admin' }), '* made uben admin')
  t.match(said({ ...fact, kind: 'unknown', number: 9 }), /cannot show/)
})

t.test('names are asked for once, and missed without harm', async (t) => {
  let asked = 0
  const counting = new Names({
    people: async (users) => {
      asked++
      return users.map((user) => ({ user, handle: user.slice(1), name: user }))
    },
  })
  await counting.learn([ann, ben, ann])
  await counting.learn([ben])
  t.equal(asked, 1)
  t.equal(counting.of(ben), 'ben')
  await names.learn(['ucat' as UserId])
  t.equal(names.of('ucat' as UserId), 'ucat')
})

t.test('a text cannot speak to the terminal', async (t) => {
  t.equal(
    harmless('red \u001b[31m\u009b2J bell\u0007 \u202eback\r'),
    'red \\u001b[31m\\u009b2J bell\\u0007 \\u202eback\\u000d',
  )
  t.equal(harmless('line\n\ttab ü👋 é'), 'line\n\ttab ü👋 é')
})

t.test('rooms', async (t) => {
  await names.learn([ann])
  const summary: Summary = {
    ...{
      room,
      kind: 'group',
      title: 'Team\u001b',
      peer: undefined,
      head: 9,
      time,
      unread: 3,
      read: 6,
    },
    ...{ role: 'member', left: false, sender: ann, preview: 'first\nsecond' },
  }
  t.equal(
    humanRoom(summary, names, time),
    'groom-of-two  Team\\u001b  (3 new)  09:05:07  ann: first',
  )
  const dm: Summary = {
    ...summary,
    kind: 'dm',
    peer: ann,
    unread: 0,
    left: true,
    sender: undefined,
    preview: undefined,
  }
  t.equal(humanRoom(dm, names, time), 'groom-of-two  @ann  (left)  09:05:07')
  t.strictSame(JSON.parse(jsonRoom(summary)), {
    ...{
      room,
      kind: 'group',
      title: 'Team\u001b',
      head: 9,
      time,
      unread: 3,
      read: 6,
      role: 'member',
      left: false,
    },
  })
})

t.test('a clock of another day tells the day', async (t) => {
  t.equal(clockOf(time, time), '09:05:07')
  t.equal(clockOf(time, time + 40 * 86_400_000), '2026-11-24 09:05:07')
})

t.test('everybody that an event names', async (t) => {
  const members = [{ user: ben, role: 'member' as const }]
  t.strictSame(usersIn(message), [ann])
  t.strictSame(usersIn({ ...fact, kind: 'created', title: '', openHistory: false, members }), [
    ann,
    ben,
  ])
  t.strictSame(usersIn({ ...fact, kind: 'added', users: [ben] }), [ann, ben])
  t.strictSame(usersIn({ ...fact, kind: 'left', user: ann }), [ann, ann])
  t.strictSame(usersIn({ ...fact, kind: 'role', user: ben, role: 'owner' }), [ann, ben])
  t.strictSame(usersIn({ ...fact, kind: 'unknown', number: 7 }), [ann])
})
