import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user as userBehavior } from '../../actors/user/user.ts'
import { systemClock } from '../clock.ts'
import type { Gateway } from '../gateway/gateway.ts'
import { type DeviceId, dmId, type RoomId, type UserId } from '../ids.ts'
import { eventually } from '../testing/eventually.ts'
import { startHouse } from '../testing/house.ts'
import { removed } from '../testing/pointers.ts'
import type { Fetch } from './api.ts'
import { Client } from './client.ts'
import type { RoomEvent } from './events.ts'
import { folderProfile } from './index.node.ts'
import type { ClientOptions } from './options.ts'
import type { Settled } from './outbox.ts'

const behaviors = { room: createRoomBehavior({ members: 256 }), user: userBehavior }
const DELIVERIES = ['cursor', 'queue'] as const
const BACKOFF = { base: 50, cap: 500 }
/** These tests are not about the rates. */
const FAST = { frameRate: 1e5, frameBurst: 1e5, byteRate: 1e8, byteBurst: 1e8 }

/** Hosts and gateways on a nats-server, and the little of the API that a client needs. */
const open = async (t: Test) => {
  const house = await startHouse(t, behaviors)
  const host = await house.host()
  const gateways: Gateway[] = [await house.gateway(FAST)]
  let devices = 0
  const fetch: Fetch = async (url, init) => {
    const { pathname } = new URL(url)
    const json = (value: object) => new Response(JSON.stringify(value))
    const handle = typeof init.body === 'string' ? JSON.parse(init.body).handle : ''
    if (pathname === '/v1/login') {
      const token = `u${handle}/v${handle}${++devices}`
      const [user, device] = token.split('/')
      const later = Date.now() + 3_600_000
      return json({ user, device, accessToken: token, accessExpires: later, refreshToken: 'r' })
    }
    if (pathname === '/v1/gateway') {
      const [url, ...alternatives] = gateways.map((gateway) => gateway.url)
      return json({ url, alternatives })
    }
    const name = pathname.slice('/v1/users/'.length)
    return json({ user: `u${name}`, handle: name, name })
  }
  const clientOf = (options: Partial<ClientOptions> = {}): Client => {
    const client = new Client({ api: 'http://house', fetch, backoff: BACKOFF, ...options })
    t.teardown(() => client.close())
    return client
  }
  const connected = async (
    handle: string,
    options: Partial<ClientOptions> = {},
  ): Promise<Client> => {
    const client = clientOf(options)
    await client.login({ handle, password: 'x' })
    await client.connect({ within: 20_000 })
    return client
  }
  for (const user of ['uann', 'uben', 'ucat']) await house.account(user)
  return { house, host, gateways, clientOf, connected }
}

t.setTimeout(300_000)

const ANN = 'uann' as UserId
const BEN = 'uben' as UserId
const CAT = 'ucat' as UserId

const heardBy = (client: Client): RoomEvent[] => {
  const events: RoomEvent[] = []
  client.on('event', (event) => events.push(event))
  return events
}
const texts = (events: readonly RoomEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'message' ? [event.text] : []))
const numbered = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, n) => `${prefix}${n + 1}`)

const folder = async (t: Test): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'parley-client-'))
  t.teardown(() => rm(path, { recursive: true, force: true, maxRetries: 20 }))
  return path
}

for (const delivery of DELIVERIES) {
  t.test(
    `${delivery}: both sides hear all, in one order, live and on a device that comes later`,
    async (t) => {
      const { connected } = await open(t)
      const ann = await connected('ann', { delivery })
      const ben = await connected('ben', { delivery })
      const heard = [heardBy(ann), heardBy(ben)] as const
      const [one, other] = [await ann.dm('@ben'), await ben.dm('@ann')]
      const sent = numbered('a', 300)
      const back = numbered('b', 300)
      await Promise.all([
        ...sent.map((text) => one.send(text)),
        ...back.map((text) => other.send(text)),
      ])
      await eventually(
        'both have all',
        () => heard.every((events) => texts(events).length === 600),
        {
          within: 20_000,
        },
      )
      t.strictSame(texts(heard[0]), texts(heard[1]), 'one order')
      t.strictSame(
        texts(heard[0]).filter((text) => text.startsWith('a')),
        sent,
      )
      t.strictSame(
        texts(heard[1]).filter((text) => text.startsWith('b')),
        back,
      )

      const late = await connected('ben', { delivery, history: 'all' })
      const caught = heardBy(late)
      await late.caughtUp()
      await eventually('the late device has all', () => texts(caught).length === 600)
      t.strictSame(texts(caught), texts(heard[0]))
    },
  )

  t.test(`${delivery}: a device that was away catches up from where it was`, async (t) => {
    const { connected, clientOf } = await open(t)
    const path = await folder(t)
    const ann = await connected('ann')
    const first = clientOf({ ...folderProfile(path), delivery })
    await first.login({ handle: 'ben', password: 'x' })
    await first.connect({ within: 20_000 })
    const early = heardBy(first)
    const room = await ann.dm('@ben')
    await Promise.all(numbered('x', 50).map((text) => room.send(text)))
    await eventually('it has the first', () => texts(early).length === 50)
    await first.close()
    await Promise.all(numbered('y', 300).map((text) => room.send(text)))
    const again = clientOf({ ...folderProfile(path), delivery })
    const heard = heardBy(again)
    await again.connect({ within: 20_000 })
    await eventually('it has the rest', () => texts(heard).length >= 300, { within: 20_000 })
    await again.caughtUp()
    t.strictSame(texts(heard), numbered('y', 300))
  })

  t.test(
    `${delivery}: a host dies, another takes over: nothing lost, doubled or out of order`,
    async (t) => {
      const { house, host, connected } = await open(t)
      const ann = await connected('ann', { delivery })
      const ben = await connected('ben', { delivery })
      const heard = [heardBy(ann), heardBy(ben)] as const
      const room = await ann.dm('@ben')
      await room.send('0')
      const sent = numbered('m', 400)
      const acks = sent.map((text) => room.send(text))
      await acks[100]
      await host.kill()
      await house.host()
      const seqs = (await Promise.all(acks)).map(({ seq }) => seq)
      t.strictSame(
        seqs,
        [...seqs].sort((a, b) => a - b),
      )
      t.equal(new Set(seqs).size, 400)
      await eventually(
        'both have all',
        () => heard.every((events) => texts(events).length >= 401),
        {
          within: 30_000,
        },
      )
      for (const events of heard) t.strictSame(texts(events), ['0', ...sent])
    },
  )

  t.test(`${delivery}: gateways drain and come: sessions move, nothing is lost`, async (t) => {
    const { house, gateways, connected } = await open(t)
    gateways.push(await house.gateway(FAST))
    const ann = await connected('ann', { delivery })
    const ben = await connected('ben', { delivery })
    const heard = heardBy(ben)
    const states: string[] = []
    ann.on('state', ({ state }) => states.push(state))
    const room = await ann.dm('@ben')
    const sent = numbered('m', 300)
    const acks = sent.map((text) => room.send(text))
    await acks[50]
    const old = gateways.shift()
    await old?.drain(systemClock.monotonic() + 2_000)
    await Promise.all(acks)
    await eventually('all arrived', () => texts(heard).length >= 300, { within: 20_000 })
    t.strictSame(texts(heard), sent)
    t.ok(states.includes('leaving') || states.includes('waiting'), 'it moved')
    await eventually('it is connected again', () => ann.state === 'open')
  })
}

t.test('groups: members come and go, and each sees what is theirs', async (t) => {
  const { connected } = await open(t)
  const [ann, ben, cat] = [await connected('ann'), await connected('ben'), await connected('cat')]
  const heard = heardBy(cat)
  const group = await ann.createGroup({ title: 'Team', members: ['@ben'] })
  await group.send('before cat')
  await group.add([CAT])
  await group.send('with cat')
  await eventually('cat hears', () => texts(heard).length === 1)
  t.strictSame(
    heard.map(({ kind }) => kind),
    ['added', 'message'],
  )
  const hers = cat.room(group.id)
  t.strictSame(texts(await hers.history()), ['with cat'], 'nothing from before')
  const ack = await hers.send('hi')
  t.equal(ack.seq, 5)
  await t.rejects(hers.remove(BEN), { code: 'forbidden' })
  await group.remove(CAT)
  await eventually('cat is out', () => cat.room(group.id).summary?.left === true)
  await group.send('without cat')
  await t.rejects(hers.send('let me in'), { code: 'not_member' })
  t.strictSame(texts(await hers.history()), ['with cat', 'hi'], 'what she saw stays readable')
  await group.add([CAT])
  await eventually('cat is back', () => cat.room(group.id).summary?.left === false)
  t.match(await hers.send('back'), { seq: 9 }, 'in a lineage of her new stay')
  await eventually('ben has all', async () => (await ben.room(group.id).history()).length === 9)
  t.strictSame(texts(await ben.room(group.id).history()), [
    'before cat',
    'with cat',
    'hi',
    'without cat',
    'back',
  ])
  await hers.leave()
  t.match(await group.info(), {
    title: 'Team',
    members: [{ user: ANN, role: 'owner' }, { user: BEN }],
  })
})

/** As if a process died between the commit of a command and the arrival of its ack: the command stays stored. */
const forgetful = (profile: ReturnType<typeof folderProfile>): (() => void) => {
  const { cache } = profile
  const write = cache.write.bind(cache)
  cache.write = (changes) => write(changes.filter(({ op }) => op !== 'settle' && op !== 'acked'))
  return () => {
    cache.write = write
  }
}

t.test(
  'N1 what was accepted before a removal is acked after the return; what follows is a new stay',
  async (t) => {
    const { connected, clientOf } = await open(t)
    const path = await folder(t)
    const profile = folderProfile(path)
    const ann = await connected('ann')
    const group = await ann.createGroup({ title: 'Team', members: ['@ben'] })
    const ben = clientOf(profile)
    await ben.login({ handle: 'ben', password: 'x' })
    await ben.connect({ within: 20_000 })
    await ben.room(group.id).send('one')
    const remember = forgetful(profile)
    const ack = await ben.room(group.id).send('two')
    remember()
    await ben.close()
    await group.remove(BEN)
    await group.add([BEN])
    const again = clientOf(folderProfile(path))
    const settled: Settled[] = []
    again.on('settled', (what) => settled.push(what))
    await again.connect({ within: 20_000 })
    await again.idle()
    t.strictSame(
      settled.map((what) => ('ack' in what ? what.ack : what.error.code)),
      [ack],
    )
    // The word of the return may still be on its way: then the first is of the stay before, and the app is told so.
    const three = () => again.room(group.id).send('three')
    const sent = await three().catch((error) => {
      t.match(error, { code: 'stale_join' })
      return three()
    })
    t.match(sent, { seq: 6 })
    t.strictSame(texts(await group.history()), ['one', 'two', 'three'])
  },
)

t.test('N3 a resend after 10,000 other messages gets the first ack', async (t) => {
  const { connected, clientOf } = await open(t)
  const path = await folder(t)
  const profile = folderProfile(path)
  const ben = await connected('ben')
  const ann = clientOf(profile)
  await ann.login({ handle: 'ann', password: 'x' })
  await ann.connect({ within: 20_000 })
  const room = await ann.dm('@ben')
  await room.send('hello')
  const remember = forgetful(profile)
  const ack = await room.send('mine')
  remember()
  await ann.close()
  const other = await ben.dm('@ann')
  await Promise.all(numbered('x', 10_000).map((text) => other.send(text)))
  const again = clientOf(folderProfile(path))
  const settled: Settled[] = []
  again.on('settled', (what) => settled.push(what))
  await again.connect({ within: 20_000 })
  await again.idle()
  t.strictSame(
    settled.map((what) => ('ack' in what ? what.ack : what.error.code)),
    [ack],
  )
  await t.rejects(room.history(), { message: /closed/ }, 'the old client stays closed')
})

t.test(
  'N6 a second process of a profile receives, and sends once the first has ended',
  async (t) => {
    const { connected, clientOf } = await open(t)
    const path = await folder(t)
    const ben = await connected('ben')
    const first = clientOf(folderProfile(path))
    await first.login({ handle: 'ann', password: 'x' })
    await first.open()
    const second = clientOf(folderProfile(path))
    const heard = heardBy(second)
    await second.connect({ within: 20_000 })
    t.equal(second.outbox, 'waiting')
    const room = await ben.dm('@ann')
    await room.send('you there?')
    await eventually('it receives', () => texts(heard).length === 1)
    const ack = (await second.dm('@ben')).send('yes')
    await first.close()
    t.match(await ack, { seq: 3 })
    t.equal(second.outbox, 'held')
  },
)

t.test(
  'I6 a removed device is told for good, and what it had to send is not lost silently',
  async (t) => {
    const { house, connected, clientOf } = await open(t)
    const client = clientOf()
    const { device } = await client.login({ handle: 'ann', password: 'x' })
    await client.connect({ within: 20_000 })
    await house.account('uann', { devices: [removed(device as DeviceId)] })
    await eventually('it is closed', () => client.state === 'closed', { within: 10_000 })
    t.match(client.reason, { code: 'device_removed' })
    await t.rejects(client.room(dmId(ANN, BEN) as RoomId).history(), { code: 'device_removed' })
    const other = await connected('ann')
    t.equal(other.state, 'open')
  },
)
