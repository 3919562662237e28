import t, { type Test } from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user } from '../../actors/user/user.ts'
import { queueConsumer } from '../../nats/consumers.ts'
import type { Gateway } from '../gateway/gateway.ts'
import type { DeviceId, UserId } from '../ids.ts'
import { readFrames } from '../protocol/codec.ts'
import type { AnyFrame } from '../protocol/frames.ts'
import { Reader } from '../protocol/reader.ts'
import { eventually } from '../testing/eventually.ts'
import { HouseDevice, startHouse } from '../testing/house.ts'

const behaviors = { room: createRoomBehavior({ members: 256 }), user }
const BOT = 'uBot' as UserId
type House = Awaited<ReturnType<typeof open>>
type Queued = Extract<AnyFrame, { name: 'queued' }>

const open = (t: Test, given: Parameters<typeof startHouse>[2] = {}) =>
  startHouse(t, behaviors, given)

/** Somebody who writes to the bot; each has a room of its own, so each message is a pointer of its own. */
const writer = async (house: House, gateway: Gateway, name: string): Promise<HouseDevice> => {
  await house.account(name)
  const device = new HouseDevice(name, `v${name}`)
  await device.login(gateway)
  return device
}

const eventsOf = (queued: readonly Queued[]) =>
  queued.flatMap(({ events }) =>
    events.flatMap((bytes) => readFrames(bytes).filter((frame) => frame.name === 'event')),
  )

const textsOf = (queued: readonly Queued[]): string[] =>
  eventsOf(queued).flatMap(({ kind, body }) => {
    const reader = new Reader(body)
    reader.array()
    return kind === 1 ? [reader.str(8192)] : []
  })

const numbersOf = (queued: readonly Queued[]): number[] => queued.map(({ n }) => n)

/** Messages that the queue of a device of the bot holds; undefined when it has no consumer. */
const held = async (house: House, device: string): Promise<number | undefined> => {
  const { stream, config } = queueConsumer(house.shape, BOT, device as DeviceId)
  const state = await house.outside.streams.consumer(stream, config.durable_name)
  return state && state.pending + state.unacked
}

const stored = async (house: House): Promise<number> =>
  (await house.outside.streams.state('QUEUE_0')).messages

/** The bot's device is online with a queue. */
const botWith = async (gateway: Gateway, device: string): Promise<HouseDevice> => {
  const bot = new HouseDevice(BOT, device)
  await bot.login(gateway)
  t.match(await bot.queue(true), { name: 'ok' })
  return bot
}

const offline = async (gateway: Gateway, device: HouseDevice): Promise<void> => {
  const before = gateway.stats().sessions
  device.client.close()
  await eventually('its session is gone', () => gateway.stats().sessions < before)
}

t.test('I5 a durable queue', async (t) => {
  const house = await open(t, { limits: { queueConsumers: 4 } })
  await house.host()
  const gateway = await house.gateway()
  await house.account(BOT)
  const ann = await writer(house, gateway, 'uAnn')

  await t.test(
    'entries with their events, numbered, each once; acknowledged ones are gone',
    async (t) => {
      const bot = new HouseDevice(BOT, 'vBot1')
      await bot.login(gateway)
      t.match(await bot.queueAck(1), { name: 'error' }, 'there is no queue yet')
      t.match(await bot.queue(true), { name: 'ok' })
      for (let i = 1; i <= 3; i++) await ann.text(BOT, `text ${i}`)
      await eventually('the texts', () => textsOf(bot.queued).length >= 3)
      t.strictSame(textsOf(bot.queued), ['text 1', 'text 2', 'text 3'])
      t.strictSame(
        numbersOf(bot.queued),
        numbersOf(bot.queued).map((_, i) => i + 1),
      )
      t.match(bot.queued[0], { reset: false, pointer: { title: 'uAnn' } })
      t.ok((await held(house, 'vBot1'))! > 0, 'not acknowledged yet')
      t.match(await bot.queueAck(bot.queued.at(-1)!.n), { name: 'ok' })
      await eventually('the queue is empty', async () => (await held(house, 'vBot1')) === 0)
      t.equal(await stored(house), 0)
      await offline(gateway, bot)
    },
  )

  await t.test(
    'what came while it was away, and what it did not acknowledge, comes again in order',
    async (t) => {
      for (const name of ['uOne', 'uTwo', 'uThree']) {
        const before = await stored(house)
        await (await writer(house, gateway, name)).text(BOT, `from ${name}`)
        await eventually('it is queued', async () => (await stored(house)) > before)
      }
      const bot = new HouseDevice(BOT, 'vBot1')
      await bot.login(gateway)
      await eventually('all come without being asked for', () => textsOf(bot.queued).length === 3)
      const first = bot.queued
      t.strictSame(textsOf(first), ['from uOne', 'from uTwo', 'from uThree'])
      await bot.queueAck(first[0]!.n)
      await offline(gateway, bot)
      await ann.text(BOT, 'later')
      await bot.login(gateway)
      await eventually('the new one', () => textsOf(bot.queued).includes('later'))
      const again = numbersOf(bot.queued)
      t.strictSame(
        again,
        again.map((_, i) => again[0]! + i),
        'no hole, no disorder',
      )
      t.strictSame(textsOf(bot.queued).slice(-3), ['from uTwo', 'from uThree', 'later'])
      await bot.queueAck(again.at(-1)!)
      await eventually('the queue is empty', async () => (await held(house, 'vBot1')) === 0)
      t.equal(await stored(house), 0)
      await offline(gateway, bot)
    },
  )

  await t.test('another device of the same user without a queue is not in it', async (t) => {
    const bot = await botWith(gateway, 'vBot1')
    const phone = new HouseDevice(BOT, 'vPhone')
    await phone.login(gateway)
    await ann.text(BOT, 'to both')
    await eventually('it is queued', () => textsOf(bot.queued).includes('to both'))
    await eventually('the other gets it live', () => phone.client.of('event').length > 0)
    t.equal(phone.queued.length, 0)
    t.equal(await held(house, 'vPhone'), undefined)
    await bot.queueAck(bot.queued.at(-1)!.n)
    await offline(gateway, bot)
    await offline(gateway, phone)
  })

  await t.test(
    'given up, the consumer and the entries are deleted; begun again, the numbers go on',
    async (t) => {
      const bot = await botWith(gateway, 'vBot1')
      await ann.text(BOT, 'before')
      await eventually('it is queued', () => textsOf(bot.queued).includes('before'))
      const last = bot.queued.at(-1)!.n
      t.match(await bot.queue(false), { name: 'ok' })
      await eventually('no consumer', async () => (await held(house, 'vBot1')) === undefined)
      await eventually('no entry', async () => (await stored(house)) === 0)
      await ann.text(BOT, 'between')
      t.match(await bot.queueAck(last), { name: 'error' })
      t.match(await bot.queue(true), { name: 'ok' })
      await eventually('the pointer of it is folded', () =>
        bot.client
          .of('changes')
          .some(({ changes }) => changes.some((p) => p.preview === 'between')),
      )
      await ann.text(BOT, 'after')
      await eventually('it is queued', () => textsOf(bot.queued).includes('after'))
      const after = bot.queued.find((entry) => textsOf([entry]).includes('after'))!
      t.ok(after.n > last, 'a number has one meaning only')
      await bot.queueAck(after.n)
      await offline(gateway, bot)
    },
  )

  await t.test('past the consumers that the stream admits, it is refused for good', async (t) => {
    const more = ['vBot2', 'vBot3', 'vBot4'].map((name) => new HouseDevice(BOT, name))
    for (const bot of more) {
      await bot.login(gateway)
      t.match(await bot.queue(true), { name: 'ok' })
    }
    const last = new HouseDevice(BOT, 'vBot5')
    await last.login(gateway)
    t.match(await last.queue(true), { name: 'error', code: 23, temporary: false })
    t.match(await last.queueAck(1), { name: 'error' })
    for (const bot of more) t.match(await bot.queue(false), { name: 'ok' })
    await eventually('there is room again', async () => (await last.queue(true)).name === 'ok')
  })

  await t.test('a removed device loses both, online or not', async (t) => {
    await botWith(gateway, 'vBot1').then((bot) => offline(gateway, bot))
    await ann.text(BOT, 'nobody reads this')
    await eventually('it is queued', async () => ((await held(house, 'vBot1')) ?? 0) > 0)
    const devices = [
      { device: 'vBot1' as DeviceId, removed: true },
      { device: 'vBot5' as DeviceId, removed: true },
    ]
    await house.account(BOT, { devices })
    await eventually('no consumer', async () => (await held(house, 'vBot1')) === undefined)
    await eventually('no consumer', async () => (await held(house, 'vBot5')) === undefined)
    await eventually('no entry', async () => (await stored(house)) === 0)
    await ann.text(BOT, 'nor this')
    const bot = new HouseDevice(BOT, 'vBot9')
    await bot.login(gateway)
    t.equal(await stored(house), 0)
  })
})

t.test('I5 at the cap the queue is purged and one reset sends the device to sync', async (t) => {
  const house = await open(t)
  await house.host({ queueLimits: { entries: 5, bytes: 2 ** 20, ageMs: 2 ** 31 } })
  const gateway = await house.gateway()
  await house.account(BOT)
  await botWith(gateway, 'vBot1').then((bot) => offline(gateway, bot))
  for (let i = 1; i <= 9; i++) {
    await (await writer(house, gateway, `uFull${i}`)).text(BOT, `text ${i}`)
  }
  const bot = new HouseDevice(BOT, 'vBot1')
  await eventually('the reset, and cursor sync has all', async () => {
    const welcome = await bot.login(gateway)
    await eventually('something is queued', () => bot.queued.length > 0)
    if (bot.queued[0]!.reset && welcome.changes.length === 9) return true
    await offline(gateway, bot)
    return false
  })
  t.match(bot.queued[0], { reset: true, pointer: null, events: { length: 0 } })
  t.ok(bot.queued[0]!.stamp > 0)
  await (await writer(house, gateway, 'uAfter')).text(BOT, 'goes on')
  await eventually('entries follow', () => textsOf(bot.queued).includes('goes on'))
  const numbers = numbersOf(bot.queued)
  t.strictSame(
    numbers,
    numbers.map((_, i) => numbers[0]! + i),
  )
})

t.test('I5 killed hosts: no number has two meanings, nothing is missing', async (t) => {
  const house = await open(t)
  let host = await house.host()
  const gateway = await house.gateway()
  await house.account(BOT)
  await botWith(gateway, 'vBot1').then((bot) => offline(gateway, bot))
  const writers = await Promise.all([1, 2, 3].map((i) => writer(house, gateway, `uKill${i}`)))
  const expected: string[] = []
  for (let round = 1; round <= 3; round++) {
    for (const one of writers) {
      const text = `${one.user} ${round}`
      await one.text(BOT, text)
      expected.push(text)
    }
    // Between the entry's PubAck and its row, or before either, as it happens.
    if (round > 1) await eventually('something is queued', async () => (await stored(house)) > 0)
    await host.kill()
    host = await house.host()
  }
  const bot = new HouseDevice(BOT, 'vBot1')
  await bot.login(gateway)
  await eventually('every text', () => {
    const texts = textsOf(bot.queued)
    return expected.every((text) => texts.includes(text))
  })
  const meaning = new Map<number, string>()
  for (const { n, stamp, pointer, reset } of bot.queued) {
    t.notOk(reset)
    const its = JSON.stringify([stamp, pointer?.room, pointer?.version])
    t.equal(meaning.get(n) ?? its, its, `number ${n}`)
    meaning.set(n, its)
  }
  t.strictSame(
    [...meaning.keys()].sort((a, b) => a - b),
    [...meaning.keys()].map((_, i) => i + 1),
  )
})

t.test(
  'I5 kill -9 of nats-server: what it had acknowledged is there, the rest is written again',
  async (t) => {
    const house = await open(t)
    await house.host()
    const gateway = await house.gateway()
    await house.account(BOT)
    const bot = await botWith(gateway, 'vBot1')
    const writers = await Promise.all([1, 2, 3].map((i) => writer(house, gateway, `uNats${i}`)))
    const sends = writers.map((one, i) => one.text(BOT, `text ${i}`))
    await house.server.kill()
    await house.server.start()
    await Promise.all(sends)
    await eventually('every text', () => textsOf(bot.queued).length >= 3, { within: 15_000 })
    const numbers = numbersOf(bot.queued)
    t.strictSame(
      numbers,
      numbers.map((_, i) => i + 1),
      'sent once in a session, in order',
    )
  },
)
