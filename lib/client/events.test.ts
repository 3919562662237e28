import t from 'tap'
import type { RoomId, UserId } from '../ids.ts'
import { EVENT_KINDS } from '../protocol/events.ts'
import type { Frame } from '../protocol/frames.ts'
import { BadFrame } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'
import { entryOf, eventOf, isEntry } from './events.ts'

const room = 'groom-of-two' as RoomId
const sender = 'uann' as UserId
const frame = (kind: number, body: Uint8Array): Frame<'event'> => ({
  ...{
    room,
    seq: 4,
    ord: 2,
    id: 18_446_744_073_709_551_615n,
    time: 1_700_000_000_000,
    sender,
    kind,
    body,
  },
})
const body = () => new Writer()
const fact = { room, seq: 4, ord: 2, id: '18446744073709551615', time: 1_700_000_000_000, sender }

t.test('W2 ids are decimal strings', async (t) => {
  const event = eventOf(frame(EVENT_KINDS.message.number, body().array(1).str('x').take()))
  t.strictSame(event, { ...fact, kind: 'message', text: 'x' })
})

t.test('every kind is decoded, and what a newer server appends is ignored', async (t) => {
  const created = body()
    .array(4)
    .str('Team')
    .bool(true)
    .array(1)
    .array(3)
    .str('uben')
    .uint(2)
    .nil()
    .nil()
  t.strictSame(eventOf(frame(EVENT_KINDS.created.number, created.take())), {
    ...fact,
    kind: 'created',
    title: 'Team',
    openHistory: true,
    members: [{ user: 'uben', role: 'owner' }],
  })
  const added = body().array(1).array(2).str('uben').str('ucat').take()
  t.match(eventOf(frame(EVENT_KINDS.added.number, added)), {
    kind: 'added',
    users: ['uben', 'ucat'],
  })
  const one = body().array(1).str('uben').take()
  t.match(eventOf(frame(EVENT_KINDS.removed.number, one)), { kind: 'removed', user: 'uben' })
  t.match(eventOf(frame(EVENT_KINDS.left.number, one)), { kind: 'left', user: 'uben' })
  const role = body().array(2).str('uben').uint(1).take()
  t.match(eventOf(frame(EVENT_KINDS.role.number, role)), {
    kind: 'role',
    user: 'uben',
    role: 'admin',
  })
})

t.test('an unknown kind keeps its place in the numbering', async (t) => {
  t.strictSame(eventOf(frame(99, body().array(1).str('?').take())), {
    ...fact,
    kind: 'unknown',
    number: 99,
  })
})

t.test('a body that does not fit is refused', async (t) => {
  for (const { number } of Object.values(EVENT_KINDS)) {
    t.throws(() => eventOf(frame(number, body().uint(1).take())), BadFrame)
    t.throws(() => eventOf(frame(number, body().array(1).bool(true).take())), BadFrame)
  }
  const nobody = body().array(1).str('nobody').take()
  t.throws(() => eventOf(frame(EVENT_KINDS.left.number, nobody)), BadFrame)
})

t.test('skip frames are hidden entries, other frames none', async (t) => {
  t.strictSame(entryOf({ name: 'skip', room, first: 2, last: 3 }), {
    room,
    kind: 'hidden',
    first: 2,
    last: 3,
  })
  t.equal(entryOf({ name: 'ok', req: 1 }), undefined)
  t.equal(entryOf({ name: undefined }), undefined)
})

t.test('stored entries are checked', async (t) => {
  const good = { ...fact, kind: 'message', text: 'x' }
  t.ok(isEntry(good, room))
  t.ok(isEntry({ room, kind: 'hidden', first: 1, last: 2 }, room))
  const bad: unknown[] = [
    null,
    'text',
    {},
    { ...good, room: 'gother-room' },
    { ...good, seq: -1 },
    { ...good, ord: '1' },
    { ...good, id: 4 },
    { ...good, sender: 'nobody' },
    { ...good, text: undefined },
    { room, kind: 'hidden', first: 1 },
  ]
  for (const one of bad) t.notOk(isEntry(one, room), JSON.stringify(one))
})
