import t, { type Test } from 'tap'
import { fromJson, type GatewayEntry } from '../bus/cluster.ts'
import { systemClock } from '../clock.ts'
import { CLOSE, ERRORS, type ErrorCode, refuse } from '../errors.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { type Handle, writeLive } from '../protocol/envelopes.ts'
import { decodeUserCommand } from '../protocol/user-commands.ts'
import { Writer } from '../protocol/writer.ts'
import { liveSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { eventFrame, isCommand } from '../testing/gateway/scripted-host.ts'
import { TestClient } from '../testing/gateway/test-client.ts'
import { ALL, startWorld, type World } from '../testing/gateway/world.ts'
import { errorFrame } from './refusals.ts'

const ROOM = 'gRoomOfTheTest'
const OTHER = 'gOtherRoomOfTheTest'

const live = (
  world: World,
  user: string,
  frame: Uint8Array,
  except?: { gateway: string; handle: Handle },
): void => {
  const bytes = writeLive(new Writer(), except as never, frame).take()
  world.bus.publish(liveSubject(user as never), bytes)
}

const served = async (t: Test, config = {}) => {
  const world = await startWorld(t)
  const host = await world.host()
  await host.own(ALL, 1)
  const gateway = await world.gateway(config)
  return { world, host, gateway }
}

t.test('the way of a message', async (t) => {
  const { world, host, gateway } = await served(t)

  await t.test('hello, send, ack, delivery by handle, live, bye', async (t) => {
    const alice = await TestClient.login(gateway.url, 'uAlice/vA1')
    t.match(alice.of('welcome')[0], {
      user: 'uAlice',
      device: 'vA1',
      heartbeat: 30_000,
      lineage: 77,
      resume: 'uAlice/vA1',
      textLimit: 8192,
      cursor: { stream: 's1', position: 1 },
      full: true,
    })
    alice.text(ROOM, 1, 'hello')
    t.match(await alice.frame('ack', 1), { seq: 1, id: 1n, time: 1001 })
    const sent = host.commands.at(-1)!
    t.match(sent, { kind: 'room', user: 'uAlice', device: 'vA1', attempt: 1 })

    host.deliver(gateway.id, [sent.handle], eventFrame(ROOM, 2, 'by handle'))
    t.match(await alice.frame('event'), { seq: 2, room: ROOM })
    live(world, 'uAlice', eventFrame(ROOM, 3, 'live'))
    await eventually('the live frame', () => alice.of('event')[1]?.seq === 3)

    alice.close()
    await eventually('its actor is told of the end', () =>
      host.commands.some((c) => c.token === 0 && c.handle === sent.handle),
    )
    await eventually('nobody is subscribed any more', () => gateway.stats().users === 0)
  })

  await t.test('every kind of frame reaches the actor that answers it', async (t) => {
    const client = await TestClient.login(gateway.url, 'uAll/vA1')
    const numbered = { room: ROOM as never, lineage: 77, join: 0, n: 1, low: 1 }
    const user = 'uB' as never
    client.send('create', { req: 11, ...numbered, title: 'T', openHistory: true, members: [user] })
    client.send('add', { req: 12, ...numbered, users: [user] })
    client.send('remove', { req: 13, ...numbered, user })
    client.send('leave', { req: 14, ...numbered })
    client.send('role', { req: 15, ...numbered, user, role: 1 })
    client.send('fetch', { req: 16, room: ROOM as never, from: 1, limit: 10, back: false })
    client.send('read', { req: 17, room: ROOM as never, seq: 1, ord: 1 })
    client.send('open', { req: 18, room: ROOM as never, peer: null, lineage: null })
    client.send('queue', { req: 19, on: true })
    for (let req = 11; req <= 19; req++) await client.frame('ok', req)
    client.send('sync', { req: 20, cursor: { stream: 's1', position: 0 } })
    t.match(await client.frame('changes', 20), { cursor: { stream: 's1' } })
    const sync = host.commands.at(-1)!
    t.match(decodeUserCommand(sync.frame), { name: 'sync', cursor: { stream: 's1', position: 0 } })
    client.close()
  })

  await t.test('live goes to all sessions of the user but the one that sent it', async (t) => {
    const one = await TestClient.login(gateway.url, 'uMany/v1')
    const { handle } = host.commands.at(-1)!
    const two = await TestClient.login(gateway.url, 'uMany/v2')
    const others = await TestClient.login(gateway.url, 'uSomebodyElse/v1')
    live(world, 'uMany', eventFrame(ROOM, 1, 'x'), { gateway: gateway.id, handle })
    live(world, 'uMany', eventFrame(ROOM, 2, 'x'), { gateway: 'wAnother', handle })
    await eventually('both', () => two.of('event').length === 2)
    await eventually('the second', () => one.of('event').length === 1)
    t.equal(one.of('event')[0]?.seq, 2)
    t.equal(others.of('event').length, 0)
    for (const client of [one, two, others]) client.close()
  })

  await t.test('live frames that come before the welcome follow it', async (t) => {
    host.onItem = (item) => {
      if (!isCommand(item) || item.token === 0) return host.usual(item)
      live(world, 'uEarly', eventFrame(ROOM, 1, 'early'))
      host.deliver(item.gateway, [item.handle], eventFrame(ROOM, 2, 'early too'))
      void world.bus.flush().then(() => host.admit(item))
    }
    const client = await TestClient.login(gateway.url, 'uEarly/v1')
    host.onItem = (item) => host.usual(item)
    await eventually('both events', () => client.of('event').length === 2)
    t.equal(client.frames[0]?.name, 'welcome')
    client.close()
  })

  await t.test('R1 a frame for a handle that is gone is told to its host', async (t) => {
    const client = await TestClient.login(gateway.url, 'uGone/v1')
    const { handle } = host.commands.at(-1)!
    client.close()
    await eventually('gone', () => gateway.stats().users === 0)
    const next = await TestClient.login(gateway.url, 'uNext/v1')
    host.deliver(gateway.id, [handle], eventFrame(OTHER, 42, 'late'))
    const lost = await eventually('lost', () => host.items.find(({ kind }) => kind === 'lost'))
    t.match(lost, { handle, room: OTHER, seq: 42 })
    t.equal(next.of('event').length, 0, 'the next session in the slot does not get it')
    next.close()
  })

  await t.test('R3 pointers move the position that pongs and beats tell', async (t) => {
    const client = await TestClient.login(gateway.url, 'uPointed/v1')
    const { handle } = host.commands.at(-1)!
    const push = (position: number, stream = 's1') => {
      const cursor = { stream, position }
      const changes = { req: 0, cursor, full: false, more: false, changes: [] }
      host.pointers(gateway.id, [handle], position, encodeFrame('changes', changes))
    }
    push(50)
    push(40)
    await eventually('both pushes', () => client.of('changes').length === 2)
    client.send('ping', { req: 5 })
    t.match(await client.frame('pong', 5), { cursor: { stream: 's1', position: 50 } })
    // One may have left between login and pushes.
    const before = host.items.length
    const beat = await eventually(
      'a beat',
      () => host.items.slice(before).find((item) => item.kind === 'beat' && item.handle === handle),
      { within: 7000 },
    )
    t.match(beat, { user: 'uPointed', device: 'v1', generation: 3, position: 50 })
    push(7, 's2')
    await eventually('the third', () => client.of('changes').length === 3)
    client.send('ping', { req: 6 })
    t.match(await client.frame('pong', 6), { cursor: { stream: 's2', position: 7 } })
    client.close()
  })

  await t.test('replies that nobody waits for are nothing', async (t) => {
    const client = await TestClient.login(gateway.url, 'uCalm/v1')
    const hello = host.commands.at(-1)!
    host.final(hello, encodeFrame('ok', { req: 1 }))
    host.final({ ...hello, token: 2 ** 50 }, encodeFrame('ok', { req: 1 }))
    host.moved({ ...hello, token: 3 })
    world.bus.publish(`gw.${gateway.id}`, Uint8Array.of(0xc1, 0xff))
    client.text(ROOM, 1)
    await client.frame('ack', 1)
    t.equal(client.of('ok').length, 0)
    t.ok(world.lines.some((line) => line.includes('gateway.bad_envelope')))
    client.close()
  })
})

t.test('who is not admitted', async (t) => {
  const { host, gateway } = await served(t, { helloMs: 300 })
  const refused = async (
    token: string,
    code: ErrorCode,
    close: keyof typeof CLOSE,
    version = 1,
  ): Promise<void> => {
    const client = await TestClient.connect(gateway.url)
    client.send('hello', { req: 9, version, token, cursor: null, lineage: null })
    t.equal((await client.end()).code, CLOSE[close].number, code)
    t.match(client.frames, [{ name: 'error', req: 9, code: ERRORS[code].number }])
  }
  await refused('nonsense', 'unauthorized', 'unauthorized')
  await refused('slow:nonsense', 'unauthorized', 'unauthorized')
  await refused('expired', 'token_expired', 'token_expired')
  await refused('uX/vX', 'version', 'version', 2)
  t.equal(host.commands.length, 0, 'the actor is not asked')

  for (const [code, close] of [
    ['device_removed', 'device_removed'],
    ['unauthorized', 'unauthorized'],
    ['unavailable', 'overloaded'],
  ] as const) {
    host.onItem = (item) => {
      if (isCommand(item) && item.token !== 0) host.later(item, errorFrame(9, refuse(code)))
    }
    await refused('uX/vX', code, close)
  }
  host.onItem = (item) => host.usual(item)

  const idle = await TestClient.connect(gateway.url)
  t.equal((await idle.end()).code, CLOSE.auth_timeout.number)
  const slow = await TestClient.login(gateway.url, 'slow:uX/vX')
  const { lineage } = await slow.frame('welcome')
  const again = await TestClient.login(gateway.url, 'uX/vX', lineage)
  t.equal((await slow.end()).code, CLOSE.replaced.number, 'the same outbox from elsewhere')
  const second = await TestClient.login(gateway.url, 'uX/vY')
  const { handle } = host.commands.at(-1)!
  host.kick(gateway.id, [handle], CLOSE.device_removed.number)
  t.equal((await second.end()).code, CLOSE.device_removed.number)
  again.text(ROOM, 1)
  await again.frame('ack', 1)
  await eventually('nothing is kept of them', () => gateway.stats().sessions === 1)
})

t.test('O4 commands follow their partitions', async (t) => {
  const { world, host, gateway } = await served(t, { resendMs: 300 })
  const client = await TestClient.login(gateway.url, 'uA/v1')
  const texts = (from: typeof host) =>
    from.commands
      .filter(({ kind, attempt }) => kind === 'room' && attempt > 1)
      .map(({ frame, attempt }) => `${frame[1 + 1]}@${attempt}`)

  await t.test('moved, then another owner: all again, in order', async (t) => {
    host.onItem = (item) => {
      if (item.kind === 'room') host.moved(item)
      else host.usual(item)
    }
    const other = await world.host()
    other.onItem = (item) => {
      if (item.kind === 'room' && item.attempt < 2) throw new Error('it knows of the owner only')
      other.usual(item)
    }
    for (let n = 1; n <= 20; n++) client.text(ROOM, n)
    await eventually(
      'the first try',
      () => host.commands.filter((c) => c.kind === 'room').length >= 20,
    )
    await other.own(ALL, 2)
    for (let n = 1; n <= 20; n++) t.equal((await client.frame('ack', n)).seq, n)
    const order = other.commands.filter(({ kind }) => kind === 'room').map(({ frame }) => frame[2])
    t.strictSame(
      order,
      [...Array(20).keys()].map((i) => i + 1),
    )
    t.ok(texts(other).length === 20)
    await eventually('R2 the session is announced to the new owner', () =>
      other.items.some(({ kind }) => kind === 'beat'),
    )
    other.stop()
  })

  await t.test(
    'silence: the same again, and a temporary refusal of the first is not told',
    async (t) => {
      const next = await world.host()
      next.onItem = (item) => {
        if (item.kind !== 'room') return next.usual(item)
        if (item.attempt === 1) return
        if (item.attempt === 2) {
          next.later({ ...item, attempt: 1 }, errorFrame(item.frame[2]!, refuse('overloaded')))
          next.ack(item)
        }
      }
      await next.own(ALL, 3)
      client.text(OTHER, 31)
      client.text(OTHER, 32)
      await client.frame('ack', 31)
      await client.frame('ack', 32)
      t.equal(client.of('error').length, 0)
      next.stop()
    },
  )

  await t.test('nats-server killed and started again: nothing is lost', async (t) => {
    const last = await world.host()
    await last.own(ALL, 4)
    client.text(ROOM, 41)
    await client.frame('ack', 41)
    await world.nats.kill()
    for (let n = 42; n <= 60; n++) client.text(ROOM, n)
    await world.nats.start()
    for (let n = 42; n <= 60; n++) await client.frame('ack', n)
    live(world, 'uA', eventFrame(ROOM, 1, 'x'))
    await eventually('live frames come again', () => {
      if (client.of('event').length > 0) return true
      live(world, 'uA', eventFrame(ROOM, 1, 'x'))
      return false
    })
    t.equal(client.closed, undefined)
  })
})

t.test('rates: told to wait, then closed', async (t) => {
  const { gateway } = await served(t, { frameRate: 10, frameBurst: 20 })
  const client = await TestClient.login(gateway.url, 'uA/v1')
  for (let n = 1; n <= 30; n++) client.text(ROOM, n)
  const error = await client.frame('error', 30)
  t.match(error, { code: ERRORS.rate.number, temporary: true })
  t.ok(error.retryAfter > 500 && error.retryAfter < 2000)
  await eventually('the acks of the others', () => client.of('ack').length >= 18)
  for (let n = 31; n <= 60; n++) client.text(ROOM, n)
  t.equal((await client.end()).code, CLOSE.rate.number)
  const again = await TestClient.connect(gateway.url)
  again.hello('uA/v1')
  await again.frame('welcome')
  again.text(ROOM, 1)
  await again.frame('error', 1)
})

t.test('drain: goaway, what is under way is answered, then 4000', async (t) => {
  const { world, host, gateway } = await served(t, { drainSpreadMs: 200, entryMs: 100 })
  const entries = await world.bus.bucket('gateways')
  const entry = async (): Promise<GatewayEntry | undefined> => {
    const value = (await entries.get(gateway.id))?.value
    return value === undefined ? undefined : fromJson<GatewayEntry>(value)
  }
  const clients = await Promise.all(
    ['v1', 'v2', 'v3'].map((device) => TestClient.login(gateway.url, `uA/${device}`)),
  )
  const asleep = await TestClient.connect(gateway.url)
  await eventually('the entry tells its load', async () => (await entry())?.sessions === 4)
  t.match(await entry(), { gateway: gateway.id, url: gateway.url, draining: false })
  host.onItem = (item) => {
    if (item.kind === 'room') setTimeout(() => host.ack(item), 500)
  }
  clients[0]?.text(ROOM, 1)
  await eventually('the command is there', () => host.commands.at(-1)?.kind === 'room')
  const drained = gateway.drain(systemClock.monotonic() + 5000)
  await eventually('goaway', () => clients.every((client) => client.of('goaway').length === 1))
  t.match(await entry(), { draining: true })
  for (const client of [...clients, asleep]) {
    t.equal((await client.end()).code, CLOSE.drain.number)
  }
  t.equal(clients[0]?.of('ack').length, 1)
  await drained
  t.equal(await entry(), undefined)
  await t.rejects(TestClient.connect(gateway.url), 'it listens no more')
})

t.test('a port is shared only when all say so', async (t) => {
  const { world, gateway } = await served(t)
  await t.rejects(world.gateway({ port: gateway.port, sharePort: false }), { code: 'unavailable' })
  await t.rejects(world.gateway({ port: gateway.port, sharePort: true }), { code: 'unavailable' })
  await gateway.drain(systemClock.monotonic())
  const { port } = gateway
  const pair = [
    await world.gateway({ port, sharePort: true }),
    await world.gateway({ port, sharePort: true }),
  ]
  const clients: TestClient[] = []
  await eventually('the kernel spreads connections over both', async () => {
    clients.push(await TestClient.login(gateway.url, `uA/v${clients.length}`))
    return pair.every((one) => one.stats().sessions > 0)
  })
  for (const client of clients) client.text(ROOM, 1)
  for (const client of clients) await client.frame('ack', 1)
})
