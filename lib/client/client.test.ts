import t from 'tap'
import type { ParleyError } from '../errors.ts'
import { dmId, type RoomId, type UserId } from '../ids.ts'
import { encodeFrame } from '../protocol/codec.ts'
import type { Frame } from '../protocol/frames.ts'
import { Client } from './client.ts'
import type { RoomEvent } from './events.ts'
import { soleLocks } from './locks.ts'
import { memoryCache } from './memory-cache.ts'
import type { ClientOptions } from './options.ts'
import { FakeTime, settle } from './testing/fake-time.ts'
import { type Meddle, ModelServer } from './testing/model-server.ts'

const ANN = 'uann' as UserId
const BEN = 'uben' as UserId

const scene = () => {
  const time = new FakeTime()
  const server = new ModelServer(() => time.now())
  const clientOf = (options: Partial<ClientOptions> = {}): Client =>
    new Client({
      ...{ api: 'http://model', time, dial: server.dial, fetch: server.fetch },
      ...options,
    })
  /** A client that is logged in and connected. */
  const connected = async (handle = 'ann', options: Partial<ClientOptions> = {}) => {
    const client = clientOf(options)
    if (server.accounts.has(handle)) await client.login({ handle, password: 'secret' })
    else await client.register({ handle, password: 'secret' })
    await reach(client.connect())
    return client
  }
  /** Lets time pass until `work` is done. */
  const reach = async <T>(work: Promise<T>, within = 60_000): Promise<T> => {
    let done = false
    const ended = () => {
      done = true
    }
    work.then(ended, ended)
    for (let ms = 0; ms < within && !done; ms += 50) {
      // The platform's own promises (responses) are not of the fake time.
      await new Promise((resolve) => setImmediate(resolve))
      await time.advance(50)
    }
    if (!done) throw new Error('not done in time')
    return work
  }
  return { time, server, clientOf, connected, reach }
}

const heardBy = (client: Client): RoomEvent[] => {
  const events: RoomEvent[] = []
  client.on('event', (event) => events.push(event))
  return events
}
const texts = (events: readonly RoomEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'message' ? [event.text] : []))

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

t.test('a token that has expired is refreshed on the way', async (t) => {
  const { server, connected, reach } = scene()
  const client = await connected()
  const states: string[] = []
  client.on('state', ({ state }) => states.push(state))
  server.expire()
  server.meddle = (frame) =>
    frame.name === 'hello' && frame.token.startsWith('resume') ? 'unauthorized' : undefined
  server.cut()
  await settle()
  await reach(client.connect())
  t.equal(client.state, 'open')
  t.equal(
    states.filter((state) => state === 'authorizing').length,
    3,
    'resume, old token, new token',
  )
  await client.close()
})

t.test('a device that was removed: closed, and everybody who waits hears why', async (t) => {
  const { server, connected, reach, time } = scene()
  const client = await connected()
  const room = server.dm(ANN, BEN)
  server.say(room, BEN, '1')
  await time.advance(100)
  const reading = (async () => {
    for await (const _ of client.room(room.id).events()) break
  })()
  server.cut(4504)
  await t.rejects(reach(reading), { code: 'device_removed' })
  t.match(client.reason, { code: 'device_removed' })
  await t.rejects(reach(client.room(room.id).history()), { code: 'device_removed' })
  await t.rejects(reach(client.caughtUp()), { code: 'device_removed' })
  server.meddle = () => undefined
  await client.login({ handle: 'ann', password: 'secret' })
  await reach(client.connect())
  t.strictSame(texts(await reach(client.room(room.id).history())), ['1'], 'and can come back')
  await client.close()
})

t.test('connect gives up waiting when told to, with what is wrong', async (t) => {
  const { server, clientOf, reach } = scene()
  const client = clientOf()
  await client.register({ handle: 'ann', password: 'secret' })
  server.up = false
  await t.rejects(reach(client.connect({ within: 3_000 })), {
    code: 'unavailable',
    message: /Cannot reach/,
  })
  const stop = new AbortController()
  const waiting = client.connect({ signal: stop.signal })
  stop.abort(new Error('enough'))
  await t.rejects(reach(waiting), { message: 'enough' })
  server.up = true
  client.hurry()
  await reach(client.connect())
  await client.close()
  await t.rejects(client.connect(), { message: /closed/ })
})

t.test(
  'N6 two clients of a profile: both receive, one sends, the other takes over with what it was given',
  async (t) => {
    const { server, clientOf, reach, time } = scene()
    server.account('ben')
    const profile = { cache: memoryCache(), locks: soleLocks() }
    const first = clientOf(profile)
    await first.register({ handle: 'ann', password: 'secret' })
    await reach(first.connect())
    const second = clientOf(profile)
    const holds: string[] = []
    second.on('outbox', (hold) => holds.push(hold))
    const heard = heardBy(second)
    await reach(second.connect())
    t.strictSame([first.outbox, second.outbox], ['held', 'waiting'])
    const room = await reach(first.dm('@ben'))
    await reach(room.send('one'))
    const waiting = second.room(room.id).send('two')
    await time.advance(5_000)
    t.equal(second.pending, 1)
    t.equal(server.rooms.get(room.id)?.head, 1)
    t.strictSame(texts(heard), ['one'])
    await t.rejects(second.login({ handle: 'ann', password: 'x' }), { code: 'bad_request' })
    await first.close()
    t.match(await reach(waiting), { seq: 2 })
    t.strictSame(holds, ['waiting', 'held'])
    await second.close()
  },
)

t.test('a client that only reads never asks for the outbox, and refuses to send', async (t) => {
  const { server, clientOf, reach } = scene()
  const profile = { cache: memoryCache(), locks: soleLocks() }
  const writer = clientOf(profile)
  await writer.register({ handle: 'ann', password: 'secret' })
  const reader = clientOf({ ...profile, outbox: 'never' })
  await reach(reader.connect())
  t.equal(reader.outbox, 'none')
  await t.rejects(reader.room(dmId(ANN, BEN)).send('x'), { code: 'bad_request' })
  await t.rejects(reader.createGroup({ title: 'x' }), { code: 'bad_request' })
  await t.rejects(reader.held(), /does not ask/)
  t.ok(server.sessions.size > 0)
  await reader.close()
  await writer.close()
})

t.test(
  'a login is a new device: nothing of the old one goes on, nothing unsent is dropped silently',
  async (t) => {
    const { server, connected, clientOf, reach, time } = scene()
    server.account('ben')
    const profile = { cache: memoryCache(), locks: soleLocks() }
    const client = await connected('ann', profile)
    const room = await reach(client.dm('@ben'))
    await reach(room.send('one'))
    const old = profile.cache.saved.lineage
    server.up = false
    server.cut()
    const lost = room.send('two')
    await time.advance(100)
    await client.close()
    await t.rejects(lost, { message: /stays in the outbox/ })
    server.up = true
    const next = clientOf(profile)
    await t.rejects(next.login({ handle: 'ann', password: 'secret' }), { code: 'conflict' })
    const settled: unknown[] = []
    next.on('settled', (what) => settled.push(what))
    await reach(next.connect())
    await reach(next.idle())
    t.match(settled, [{ ack: { seq: 2 } }], 'the next run sends it')
    await next.close()
    const again = clientOf(profile)
    await again.login({ handle: 'ann', password: 'secret' })
    t.equal(profile.cache.saved.lineage, undefined)
    await reach(again.connect())
    t.not(profile.cache.saved.lineage, old)
    await reach(again.logout())
    t.equal(await again.account(), undefined)
    await again.close()
  },
)

t.test(
  'I5 the durable queue: entries in order, acknowledged once stored, doubles dropped, gaps synced',
  async (t) => {
    const { server, connected, reach, time } = scene()
    const cache = memoryCache()
    const client = await connected('ann', { delivery: 'queue', cache })
    const heard = heardBy(client)
    server.live = false
    const room = server.dm(ANN, BEN)
    const entryOf = (
      n: number,
      stamp: number,
      more: Partial<Frame<'queued'>> = {},
    ): Frame<'queued'> => {
      const pointer = server.inboxes.get(ANN)?.get(room.id) ?? null
      const event = room.events.at(-1)
      return {
        n,
        stamp,
        reset: false,
        pointer,
        events: event ? [encodeFrame('event', event)] : [],
        ...more,
      }
    }
    const push = async (entry: Frame<'queued'>) => {
      for (const session of server.sessions) session.push('queued', entry)
      await time.advance(500)
    }
    t.match(
      server.heard.find((frame) => frame.name === 'queue'),
      { on: true },
    )
    server.say(room, BEN, '1')
    await push(entryOf(1, 1))
    server.say(room, BEN, '2')
    await push(entryOf(2, 2))
    await push(entryOf(2, 2, { events: [] }))
    t.strictSame(texts(heard), ['1', '2'])
    server.say(room, BEN, 'of the same position')
    await push(entryOf(3, 2))
    t.strictSame(texts(heard).splice(2), ['of the same position'])
    const acks = () => server.heard.flatMap((frame) => (frame.name === 'queueAck' ? [frame.n] : []))
    t.strictSame(acks(), [1, 2, 3])
    t.strictSame(cache.saved.cursor?.position, 2)
    await time.advance(60_000)
    t.equal(
      server.heard.filter((frame) => frame.name === 'sync').length,
      0,
      'the queue tells, not the pong',
    )

    server.say(room, BEN, '3')
    server.say(room, BEN, '4')
    await push(entryOf(5, 5, { events: [] }))
    await reach(client.caughtUp())
    t.strictSame(texts(heard).slice(3), ['3', '4'])
    t.ok(
      server.heard.some((frame) => frame.name === 'sync'),
      'a gap',
    )
    t.equal(acks().at(-1), 5)

    server.say(room, BEN, '5')
    const syncs = server.heard.filter((frame) => frame.name === 'sync').length
    await push({ n: 6, stamp: 6, reset: true, pointer: null, events: [] })
    await reach(client.caughtUp())
    t.strictSame(texts(heard).at(-1), '5')
    t.equal(server.heard.filter((frame) => frame.name === 'sync').length, syncs + 1, 'a reset')
    await client.close()
  },
)

t.test('I5 a queue that is refused is told, and the cursor does its work', async (t) => {
  const { server, clientOf, reach, time } = scene()
  const client = clientOf({ delivery: 'queue' })
  const warnings: ParleyError[] = []
  client.on('warning', (error) => warnings.push(error))
  server.meddle = (frame) => (frame.name === 'queue' ? 'limit' : undefined)
  await client.register({ handle: 'ann', password: 'secret' })
  await reach(client.connect())
  await time.advance(100)
  t.match(warnings, [{ code: 'limit' }])
  const heard = heardBy(client)
  server.live = false
  server.say(server.dm(ANN, BEN), BEN, '1')
  await time.advance(60_000)
  t.strictSame(texts(heard), ['1'])
  await client.close()
})

t.test('people by id, a hundred at a time', async (t) => {
  const { server, connected, reach } = scene()
  const client = await connected()
  const users = Array.from({ length: 150 }, (_, n) => server.account(`p${n}`).user)
  const people = await reach(client.people(users))
  t.equal(people.length, 150)
  t.match(people[149], { handle: 'p149' })
  await client.close()
})
