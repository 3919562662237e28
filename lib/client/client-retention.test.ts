/** What the server no longer keeps is gone: nobody waits for it, nobody asks for it again and again. */
import t from 'tap'
import { encodeFrame } from '../protocol/codec.ts'
import type { Client } from './client.ts'
import { ANN, BEN, heardBy, scene, texts } from './testing/scene.ts'

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, n) => first + n)

/** A client of Ann's that follows all rooms from their beginning, and what it heard from its first moment on. */
const listening = async ({ clientOf, reach }: ReturnType<typeof scene>) => {
  const client = clientOf({ history: 'all' })
  const heard = heardBy(client)
  await client.register({ handle: 'ann', password: 'secret' })
  await reach(client.connect())
  return { client, heard }
}

/** A dm of 300 messages of which the last 150 are kept. */
const old = () => {
  const it = scene()
  const room = it.server.dm(ANN, BEN)
  for (let n = 1; n <= 300; n++) room.say(BEN, `${n}`)
  room.kept = 151
  it.server.tell(room)
  const fetches = () => it.server.heard.filter((frame) => frame.name === 'fetch').length
  /** The room's events as an app iterates over them. */
  const iterate = (client: Client, from: number) => {
    const seen: number[] = []
    const done = (async () => {
      for await (const event of client.room(room.id).events({ from })) seen.push(event.seq)
    })()
    return { seen, done }
  }
  return { ...it, room, fetches, iterate }
}

t.test('a follower begins at what is kept, and goes on without a hole', async (t) => {
  const it = old()
  const { server, room, time, fetches } = it
  const { client, heard } = await listening(it)
  await time.advance(2000)
  t.strictSame(
    heard.map(({ seq }) => seq),
    range(151, 300),
  )
  const asked = fetches()
  await time.advance(60_000)
  t.equal(fetches(), asked, 'nothing is missing')
  server.say(room, BEN, 'new')
  await time.advance(1000)
  t.equal(texts(heard).at(-1), 'new')
  await client.close()
})

t.test('a device that comes back after its place was dropped takes what is kept', async (t) => {
  const it = scene()
  const { server, time, reach } = it
  const room = server.dm(ANN, BEN)
  for (let n = 1; n <= 10; n++) room.say(BEN, `${n}`)
  server.tell(room)
  const { client, heard } = await listening(it)
  await time.advance(1000)
  server.cut()
  for (let n = 11; n <= 300; n++) room.say(BEN, `${n}`)
  room.kept = 281
  server.tell(room)
  for (let turn = 0; turn < 60 && heard.length < 30; turn++) await time.advance(500)
  await reach(client.caughtUp())
  t.strictSame(
    heard.map(({ seq }) => seq),
    [...range(1, 10), ...range(281, 300)],
  )
  t.strictSame(texts(await reach(client.room(room.id).history({ limit: 5 }))).at(-1), '300')
  await client.close()
})

t.test('events from any number on begin at what is kept', async (t) => {
  const { connected, server, room, time, iterate } = old()
  const client = await connected('ann', { follow: 'opened' })
  const all = [1, 100, 150, 151, 200].map((from) => ({ from, ...iterate(client, from) }))
  await time.advance(2000)
  server.say(room, BEN, 'new')
  await time.advance(1000)
  for (const { from, seen } of all) t.strictSame(seen, range(Math.max(from, 151), 301), `${from}`)
  await client.close()
  await Promise.all(all.map(({ done }) => done))
})

t.test('history pages down to what is kept, and ends there', async (t) => {
  const { connected, reach, room } = old()
  const client = await connected('ann', { follow: 'opened' })
  const page = async (before: number) =>
    (await reach(client.room(room.id).history({ before, limit: 100 }))).map(({ seq }) => seq)
  t.strictSame(await page(301), range(201, 300))
  t.strictSame(await page(201), range(151, 200))
  t.strictSame(await page(151), [])
  t.strictSame(await page(50), [])
  await client.close()
})

t.test('a room of which nothing is kept', async (t) => {
  const it = old()
  const { server, room, time, reach, fetches, iterate } = it
  room.kept = 301
  const { client, heard } = await listening(it)
  const { seen, done } = iterate(client, 1)
  await time.advance(1000)
  await reach(client.caughtUp())
  t.strictSame(await reach(client.room(room.id).history()), [])
  const asked = fetches()
  await time.advance(60_000)
  t.equal(fetches(), asked, 'it is not asked for again')
  server.say(room, BEN, 'new')
  await time.advance(1000)
  t.strictSame(texts(heard), ['new'])
  t.strictSame(seen, [301])
  const sent = client.room(room.id).send('mine')
  t.match(await reach(sent), { seq: 302 })
  await client.close()
  await done
})

t.test('a page without a skip says by its bounds what is gone', async (t) => {
  for (const kept of [151, 301]) {
    const it = old()
    const { server, room, time, reach } = it
    server.meddle = (frame, session) => {
      if (frame.name !== 'fetch' || frame.back) return undefined
      const from = Math.max(frame.from, kept)
      const events = room.events
        .slice(from - 1, Math.max(from, frame.from + frame.limit) - 1)
        .map((event) => encodeFrame('event', event))
      session.push('page', { req: frame.req, room: room.id, head: 300, first: kept, events })
      return 'swallow'
    }
    const { client, heard } = await listening(it)
    await time.advance(5000)
    await reach(client.caughtUp())
    t.equal(heard.length, 301 - kept)
    await client.close()
  }
})

t.test('N4 what became of a command is no longer kept: it is not sent again', async (t) => {
  const { server, connected, reach, time } = scene()
  server.account('ben')
  const client = await connected()
  const room = await reach(client.dm('@ben'))
  await reach(room.send('first'))
  const model = server.rooms.get(room.id)!
  server.deaf = true
  const lost = room.send('arrived')
  await time.advance(200)
  for (let n = 0; n < 20; n++) model.say(BEN, `${n}`)
  t.equal(model.head, 22)
  model.evict(ANN)
  model.kept = 10
  server.deaf = false
  server.cut()
  await t.rejects(reach(lost), { code: 'settled' })
  t.equal(model.head, 22)
  t.match(await reach(room.send('next')), { seq: 23 })
  await client.close()
})
