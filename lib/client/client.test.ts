import t from 'tap'
import { dmId, type RoomId, type UserId } from '../ids.ts'
import { settle } from './testing/fake-time.ts'
import { ANN, BEN, heardBy, scene, texts } from './testing/scene.ts'

t.test('register, connect, write to a user, and read it all back', async (t) => {
  const { server, connected, reach } = scene()
  server.account('ben')
  const client = await connected()
  t.equal(client.user, ANN)
  const heard = heardBy(client)
  const room = await reach(client.dm('@ben'))
  t.equal(room.id, dmId(ANN, BEN))
  t.equal(room.peer, BEN)
  const ack = await reach(room.send('Hello'))
  t.match(ack, { seq: 1, id: /^\d+$/ })
  await reach(room.send('again'))
  t.strictSame(texts(heard), ['Hello', 'again'], 'what this user sent is part of the room')
  t.strictSame(texts(await reach(room.history())), ['Hello', 'again'])
  await reach(client.close())
  t.equal(client.state, 'closed')
})

t.test('live messages come once and in order; lost ones are fetched', async (t) => {
  const { server, connected, time } = scene()
  const client = await connected()
  const heard = heardBy(client)
  const room = server.dm(ANN, BEN)
  server.say(room, BEN, '1')
  await settle()
  server.live = false
  server.say(room, BEN, '2')
  server.live = true
  server.say(room, BEN, '3')
  server.tell(room)
  await settle()
  t.strictSame(texts(heard), ['1'], 'not past a hole')
  await time.advance(100)
  t.strictSame(texts(heard), ['1', '2', '3'])
  t.equal(server.heard.filter((frame) => frame.name === 'fetch').length, 1)
  await client.close()
})

t.test('R3 a lost tail is told by the pong, and fetched', async (t) => {
  const { server, connected, time } = scene()
  const client = await connected()
  const heard = heardBy(client)
  const room = server.dm(ANN, BEN)
  server.say(room, BEN, '1')
  await time.advance(1_000)
  server.live = false
  server.say(room, BEN, '2')
  await time.advance(20_000)
  t.strictSame(texts(heard), ['1'])
  await time.advance(10_000)
  t.strictSame(texts(heard), ['1', '2'])
  await client.close()
})

t.test('R3 a pushed pointer tells of what is missing, but does not move the cursor', async (t) => {
  const { server, connected, time } = scene()
  const client = await connected()
  const heard = heardBy(client)
  server.live = false
  server.say(server.dm(ANN, BEN), BEN, '1')
  server.pushPointers(ANN)
  await time.advance(100)
  t.strictSame(texts(heard), ['1'], 'a new room from its beginning')
  t.match(client.rooms(), [{ kind: 'dm', peer: BEN, head: 1, unread: 1, left: false }])
  await time.advance(30_000)
  const sync = server.heard.find((frame) => frame.name === 'sync')
  t.match(sync, { cursor: { position: 0 } }, 'asked from where it was sure')
  await client.close()
})

t.test('after a cut: rooms are right again, and what was missed comes in order', async (t) => {
  const { server, connected, time, reach } = scene()
  const client = await connected()
  const heard = heardBy(client)
  const rooms = ['a', 'b', 'c', 'd', 'e'].map((name) => {
    server.account(name)
    return server.dm(ANN, `u${name}` as UserId)
  })
  for (const room of rooms) server.say(room, ANN, 'before')
  await time.advance(200)
  heard.length = 0
  server.cut()
  await settle()
  for (let n = 1; n <= 3; n++) for (const room of rooms) server.say(room, ANN, `${n}`)
  await time.advance(5_000)
  await reach(client.caughtUp())
  for (const room of rooms) {
    t.strictSame(texts(heard.filter((event) => event.room === room.id)), ['1', '2', '3'])
  }
  const pages = server.heard.filter((frame) => frame.name === 'sync')
  t.equal(pages.length, 1, 'five rooms, three a page')
  await client.close()
})

t.test('I4 a full list forgets the rooms that are not in it', async (t) => {
  const { server, connected, time } = scene()
  const client = await connected()
  const forgotten: RoomId[] = []
  client.on('forgotten', (room) => forgotten.push(room))
  const room = server.dm(ANN, BEN)
  server.say(room, BEN, '1')
  await time.advance(60_000)
  t.equal(client.rooms().length, 1)
  server.inboxes.get(ANN)?.clear()
  server.stream = 'stream2'
  server.cut()
  await time.advance(5_000)
  t.equal(client.rooms().length, 0)
  t.strictSame(forgotten, [room.id])
  await client.close()
})

t.test('a device that knows nothing begins with what is new, or with all if it asks', async (t) => {
  for (const history of ['new', 'all'] as const) {
    const { server, clientOf, time, reach } = scene()
    server.account('ann')
    const room = server.dm(ANN, BEN)
    for (let n = 1; n <= 3; n++) server.say(room, BEN, `${n}`)
    const client = clientOf({ history })
    await client.login({ handle: 'ann', password: 'secret' })
    const heard = heardBy(client)
    await reach(client.connect())
    await time.advance(200)
    server.say(room, BEN, 'new')
    await time.advance(200)
    t.strictSame(texts(heard), history === 'all' ? ['1', '2', '3', 'new'] : ['new'])
    await client.close()
  }
})

t.test('follow: opened — only those rooms are handed over, the list knows of all', async (t) => {
  const { server, connected, time } = scene()
  const client = await connected('ann', { follow: 'opened' })
  const heard = heardBy(client)
  const room = server.dm(ANN, BEN)
  server.say(room, BEN, '1')
  await time.advance(30_000)
  t.strictSame(heard, [])
  t.match(client.rooms(), [{ head: 1, unread: 1 }])
  client.room(room.id).follow()
  server.say(room, BEN, '2')
  await time.advance(200)
  t.strictSame(texts(heard), ['2'])
  await client.close()
})

t.test('sends ride through cuts, and through a server that is down', async (t) => {
  const { server, connected, reach, time } = scene()
  server.account('ben')
  const client = await connected()
  const room = await reach(client.dm('@ben'))
  await reach(room.send('0'))
  server.up = false
  server.cut()
  await settle()
  const acks = Array.from({ length: 40 }, (_, n) => room.send(`${n + 1}`))
  await time.advance(20_000)
  t.equal(client.pending, 40)
  server.up = true
  await reach(Promise.all(acks))
  await reach(client.idle())
  const all = server.rooms.get(room.id)!.events.length
  t.equal(all, 41)
  await client.close()
})
