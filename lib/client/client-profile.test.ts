import t from 'tap'
import type { ParleyError } from '../errors.ts'
import { dmId } from '../ids.ts'
import { encodeFrame } from '../protocol/codec.ts'
import type { Frame } from '../protocol/frames.ts'
import { soleLocks } from './locks.ts'
import { memoryCache } from './memory-cache.ts'
import { settle } from './testing/fake-time.ts'
import { ANN, BEN, heardBy, scene, texts } from './testing/scene.ts'

t.test('where a room begins is stored before anything that comes after it', async (t) => {
  const { server, connected, clientOf, reach, time } = scene()
  server.account('ann')
  const room = server.dm(ANN, BEN)
  server.say(room, BEN, 'old')
  const profile = { cache: memoryCache(), locks: soleLocks() }
  const client = await connected('ann', profile)
  t.match(profile.cache.saved.positions.get(room.id), { seq: 1 })
  // The process dies while the list knows of a message that the app was not given yet.
  server.live = false
  server.meddle = (frame) => (frame.name === 'fetch' ? 'swallow' : undefined)
  server.say(room, BEN, 'new')
  server.pushPointers(ANN)
  await time.advance(1_000)
  t.equal(profile.cache.saved.pointers.get(room.id)?.head, 2)
  await client.close()
  server.meddle = () => undefined
  const again = clientOf(profile)
  const heard = heardBy(again)
  await reach(again.connect())
  await reach(again.caughtUp())
  t.strictSame(texts(heard), ['new'])
  await again.close()
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

t.test(
  'I5 the durable queue is for the client that has the outbox, and goes over with it',
  async (t) => {
    const { server, connected, clientOf, reach, time } = scene()
    server.account('ben')
    const locks = soleLocks()
    const first = await connected('ann', { delivery: 'queue', cache: memoryCache(), locks })
    const cache = memoryCache()
    await cache.saveAccount(await first.account())
    const second = clientOf({ delivery: 'queue', cache, locks })
    await reach(second.connect())
    t.equal(second.outbox, 'waiting')
    const heard = heardBy(second)
    const asked = (name: 'queue' | 'queueAck') =>
      server.heard.filter((frame) => frame.name === name).length
    const newest = () => [...server.sessions].at(-1)
    t.equal(asked('queue'), 1, 'only the first asks for it')

    server.live = false
    const room = server.dm(ANN, BEN)
    server.say(room, BEN, '1')
    const pointer = server.inboxes.get(ANN)?.get(room.id) ?? null
    const entry = { stamp: 1, reset: false, pointer, events: [] }
    newest()?.push('queued', { n: 1, ...entry })
    await time.advance(500)
    t.equal(asked('queueAck'), 0, 'what is not stored is not acknowledged')

    await first.close()
    await time.advance(1_000)
    t.equal(second.outbox, 'held')
    t.equal(asked('queue'), 2)
    await reach(second.caughtUp())
    t.strictSame(texts(heard), ['1'], 'what the queue brought before is synced')
    newest()?.push('queued', { n: 1, ...entry })
    await time.advance(500)
    t.equal(asked('queueAck'), 1)
    await second.close()
  },
)

t.test('I5 what comes again after a cut is acknowledged again', async (t) => {
  const { server, connected, reach, time } = scene()
  server.account('ben')
  const client = await connected('ann', { delivery: 'queue' })
  const acks = () => server.heard.flatMap((frame) => (frame.name === 'queueAck' ? [frame.n] : []))
  const push = async (...numbers: number[]) => {
    for (const n of numbers) {
      for (const session of server.sessions) {
        session.push('queued', { n, stamp: n, reset: false, pointer: null, events: [] })
      }
    }
    await time.advance(500)
  }
  server.meddle = (frame) => (frame.name === 'queueAck' ? 'swallow' : undefined)
  await push(1, 2)
  t.strictSame(acks(), [2])
  server.meddle = () => undefined
  server.cut()
  await reach(client.connect())
  await time.advance(1_000)
  const before = acks().length
  // The gateway of the new session knows nothing of what an earlier one sent.
  await push(1, 2)
  t.strictSame(acks().slice(before).at(-1), 2)
  await client.close()
})

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
