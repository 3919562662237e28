import t from 'tap'
import { dmId, type RoomId, type UserId } from '../ids.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { settle } from './testing/fake-time.ts'
import type { Meddle } from './testing/model-server.ts'
import { ANN, BEN, heardBy, scene, texts } from './testing/scene.ts'

t.test(
  'events of a room: from any point, live, over cuts, without a hole, until it is closed',
  async (t) => {
    for (const follow of ['all', 'opened'] as const) {
      const { server, connected, time } = scene()
      const client = await connected('ann', { follow })
      const room = server.dm(ANN, BEN)
      for (let n = 1; n <= 300; n++) room.say(BEN, `${n}`)
      server.tell(room)
      const seen: number[] = []
      const reading = (async () => {
        for await (const event of client.room(room.id).events({ from: 1 })) seen.push(event.seq)
      })()
      await time.advance(500)
      server.say(room, BEN, '301')
      await time.advance(100)
      server.cut()
      server.say(room, BEN, '302')
      server.say(room, BEN, '303')
      for (let turn = 0; turn < 100 && seen.length < 303; turn++) await time.advance(500)
      t.strictSame(
        seen,
        Array.from({ length: 303 }, (_, n) => n + 1),
        follow,
      )
      await client.close()
      await reading
    }
  },
)

t.test('events end with their signal, and when the user is removed', async (t) => {
  const { server, connected, time } = scene()
  const client = await connected()
  const room = server.room('groom-of-three' as RoomId)
  room.join(ANN, 1)
  room.join(BEN, 1)
  server.say(room, BEN, '1')
  await time.advance(100)
  const stop = new AbortController()
  const stopped: string[] = []
  const one = (async () => {
    for await (const event of client.room(room.id).events({ from: 1, signal: stop.signal }))
      stopped.push(event.kind)
  })()
  const kinds: string[] = []
  const other = (async () => {
    for await (const event of client.room(room.id).events({ from: 1 })) kinds.push(event.kind)
  })()
  await time.advance(100)
  stop.abort()
  await one
  t.strictSame(stopped, ['message'])
  const before = new Set(room.members.keys())
  room.remove(BEN, ANN)
  server.tell(room, before)
  server.pushPointers(ANN)
  await time.advance(100)
  await other
  t.strictSame(kinds, ['message', 'removed'])
  t.match(client.rooms(), [{ left: true }])
  await client.close()
})

t.test('a room that may not be read says so', async (t) => {
  const { server, connected, reach } = scene()
  const client = await connected()
  const room = server.room('gforeign-room' as RoomId)
  room.join(BEN)
  server.say(room, BEN, 'secret')
  const read = async () => {
    for await (const _ of client.room(room.id).events({ from: 1 })) break
  }
  await t.rejects(reach(read()), { code: 'not_member' })
  await t.rejects(reach(client.room(room.id).history()), { code: 'not_member' })
  await t.rejects(reach(client.room(room.id).send('x')), { code: 'not_member' })
  await client.close()
})

t.test('history pages backwards, from the cache where it has it', async (t) => {
  const { server, connected, reach, time } = scene()
  const client = await connected()
  const room = server.dm(ANN, BEN)
  for (let n = 1; n <= 130; n++) room.say(BEN, `${n}`)
  server.tell(room)
  await time.advance(500)
  const page = (before?: number) => reach(client.room(room.id).history({ before, limit: 50 }))
  t.strictSame((await page()).map(({ seq }) => seq).at(0), 81)
  t.strictSame((await page(81)).map(({ seq }) => seq).at(0), 31)
  t.equal((await page(31)).length, 30)
  t.strictSame(await page(1), [])
  const fetches = server.heard.filter((frame) => frame.name === 'fetch').length
  await page(81)
  t.equal(server.heard.filter((frame) => frame.name === 'fetch').length, fetches)
  await client.close()
})

t.test('O6 a page with a hole is not believed, and asked for again', async (t) => {
  const { server, connected, reach, time } = scene()
  const client = await connected()
  const room = server.dm(ANN, BEN)
  for (let n = 1; n <= 4; n++) room.say(BEN, `${n}`)
  const [one, two, , four] = room.events
  let broken = 3
  const meddle: Meddle = (frame, session) => {
    if (frame.name !== 'fetch' || broken-- <= 0) return undefined
    const events = [one, two, four].map((event) => encodeFrame('event', event!))
    session.push('page', { req: frame.req, room: room.id, head: 4, first: 1, events })
    return 'swallow'
  }
  server.meddle = meddle
  await t.rejects(reach(client.room(room.id).history()), { code: 'internal', canRetry: true })
  const heard = heardBy(client)
  server.tell(room)
  await time.advance(100)
  await reach(client.caughtUp())
  t.strictSame(texts(heard), ['1', '2', '3', '4'])
  await client.close()
})

t.test('groups: made, changed, left; errors reach who asked', async (t) => {
  const { server, connected, reach } = scene()
  server.account('ben')
  server.account('cat')
  const client = await connected()
  const heard = heardBy(client)
  const room = await reach(client.createGroup({ title: 'Team', members: ['@ben'] }))
  await reach(room.send('hi'))
  await reach(room.add(['ucat' as UserId]))
  await reach(room.setRole('ucat' as UserId, 'admin'))
  await reach(room.remove(BEN))
  await reach(room.leave())
  t.strictSame(
    heard.map(({ kind }) => kind),
    ['created', 'message', 'added', 'role', 'removed'],
  )
  t.match(heard[0], { title: 'Team', members: [{ user: ANN, role: 'owner' }, { user: BEN }] })
  await t.rejects(reach(client.createGroup({ title: 'x', members: ['@nobody'] })), {
    code: 'not_found',
  })
  await client.close()
})

t.test('what cannot be a message is refused before it is sent', async (t) => {
  const { connected, clientOf } = scene()
  const client = await connected()
  const room = client.room(dmId(ANN, BEN))
  await t.rejects(room.send(''), { code: 'bad_request' })
  await t.rejects(room.send('\ud800'), { code: 'bad_request' })
  await t.rejects(room.send('ü'.repeat(4_097)), { code: 'too_large' })
  await t.rejects(client.dm('nobody' as UserId), { code: 'bad_request' })
  await client.close()
  await t.rejects(clientOf().connect(), { code: 'unauthorized' })
})

t.test('read positions: sent with the right ord, once, and heard from others', async (t) => {
  const { server, connected, reach, time } = scene()
  const client = await connected()
  const room = server.dm(ANN, BEN)
  for (let n = 1; n <= 5; n++) server.say(room, BEN, `${n}`)
  await time.advance(200)
  server.pushPointers(ANN)
  await time.advance(200)
  const mine = client.room(room.id)
  await reach(mine.read(3))
  t.match(
    server.heard.findLast((frame) => frame.name === 'read'),
    { seq: 3, ord: 3 },
  )
  t.match(mine.summary, { read: 3, unread: 2 })
  await reach(mine.read())
  t.match(mine.summary, { read: 5, unread: 0 })
  const before = server.heard.length
  await reach(mine.read())
  t.equal(server.heard.length, before, 'nothing new to say')
  const reads: unknown[] = []
  client.on('read', (read) => reads.push(read))
  for (const session of server.sessions)
    session.push('mark', { room: room.id, user: BEN, kind: 1, seq: 4, ord: 4 })
  await settle()
  t.strictSame(reads, [{ room: room.id, user: BEN, seq: 4 }])
  await client.close()
})

t.test('what is hidden keeps its place, and is not handed over', async (t) => {
  const { server, connected, reach } = scene()
  const client = await connected()
  const room = server.dm(ANN, BEN)
  for (let n = 1; n <= 6; n++) room.say(BEN, `${n}`)
  server.meddle = (frame, session) => {
    if (frame.name !== 'fetch') return undefined
    const skip = encodeFrame('skip', { room: room.id, first: 4, last: 5 })
    const shown = [3, 6].map((seq) => encodeFrame('event', room.events[seq - 1]!))
    const events = [shown[0]!, skip, shown[1]!]
    session.push('page', { req: frame.req, room: room.id, head: 6, first: 3, events })
    return 'swallow'
  }
  const seen: number[] = []
  const read = async () => {
    for await (const { seq } of client.room(room.id).events({ from: 1 })) {
      seen.push(seq)
      if (seq === 6) break
    }
  }
  await reach(read())
  t.strictSame(seen, [3, 6])
  await client.close()
})
