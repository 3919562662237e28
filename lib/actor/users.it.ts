import t from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user } from '../../actors/user/user.ts'
import { CLOSE, ERRORS } from '../errors.ts'
import { type DeviceId, dmId, type Incarnation, type UserId } from '../ids.ts'
import { encodeFrame, readFrame } from '../protocol/codec.ts'
import { readLive, writeLost, writeRoomCommand } from '../protocol/envelopes.ts'
import { Reader } from '../protocol/reader.ts'
import { encodeUserCommand } from '../protocol/user-commands.ts'
import { Writer } from '../protocol/writer.ts'
import { hostSubject, liveSubject, userSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { TestClient } from '../testing/gateway/test-client.ts'
import { HouseDevice, startHouse } from '../testing/house.ts'
import { Asks } from './asks.ts'
import { Places } from './intake.ts'

const behaviors = { room: createRoomBehavior({ members: 256 }), user }
const ANN = 'uAnn' as UserId
const BOB = 'uBob' as UserId
const ROOM = dmId(ANN, BOB)

t.test('users and their sessions, whole', async (t) => {
  const house = await startHouse(t, behaviors)
  const host = await house.host()
  const gateway = await house.gateway()
  await house.account(ANN)
  await house.account(BOB)
  const ann = new HouseDevice(ANN, 'vAnn1')
  const bob = new HouseDevice(BOB, 'vBob1')
  await ann.login(gateway)
  await bob.login(gateway)

  await t.test('I6 an account that is not known yet waits for its record', async (t) => {
    const eve = new HouseDevice('uEve', 'vEve1')
    const welcome = eve.login(gateway)
    await house.account('uEve')
    t.match(await welcome, { user: 'uEve', full: true })
    const nobody = await TestClient.connect(gateway.url)
    nobody.hello('uNobody/v1')
    t.match(await nobody.frame('error'), { code: ERRORS.unavailable.number, temporary: true })
    t.equal((await nobody.end()).code, CLOSE.overloaded.number, 'it may come again')
  })

  await t.test('I6 a block or a policy keeps a dm from being made, either way', async (t) => {
    const open = async (from: string, to: string) => {
      const device = new HouseDevice(from, `v${from}9`)
      await device.login(gateway)
      const client = device.client
      const welcome = client.of('welcome')[0]!
      const req = client.nextReq
      const room = dmId(from as UserId, to as UserId)
      const { lineage } = welcome
      const command = { req, room, lineage, join: 0, n: 1, low: 1, text: 'hi', peer: to as UserId }
      client.send('send', command)
      return eventually('an answer', () =>
        client.frames.find((f) => (f.name === 'ack' || f.name === 'error') && f.req === req),
      )
    }
    await house.account('uMean', { blocked: ['uEve' as UserId] })
    const blocked = { name: 'error', code: ERRORS.blocked.number }
    t.match(await open('uEve', 'uMean'), blocked)
    t.match(await open('uMean', 'uEve'), blocked, 'who blocks does not write either')
    t.match(await open('uEve', 'uNoSuch'), { name: 'error', code: ERRORS.not_found.number })
    t.match(await open('uEve', 'uAnn'), { name: 'ack' })
  })

  await t.test(
    'I6 live sessions of a removed device end, and it is not admitted again',
    async (t) => {
      const phone = new HouseDevice(ANN, 'vPhone')
      await phone.login(gateway)
      await house.account(ANN, { devices: [{ device: 'vPhone' as DeviceId, removed: true }] })
      t.equal((await phone.client.end()).code, CLOSE.device_removed.number)
      const again = await TestClient.connect(gateway.url)
      again.hello('uAnn/vPhone')
      t.equal((await again.end()).code, CLOSE.device_removed.number)
      t.equal(ann.client.closed, undefined, 'the others stay')
    },
  )

  await t.test(
    'R2 routes are asked for on the user’s own subject, and known after a heartbeat',
    async (t) => {
      const asks = new Asks(house.outside, 'hOther' as Incarnation, new Places(4))
      const routes = await eventually('the actor is old enough', () => asks.routes(BOB), {
        within: 10_000,
      })
      t.match(routes, [{ gateway: gateway.id }])
      t.equal(await asks.permit(ANN, BOB), 'granted')
      t.match(await asks.permit(ANN, 'uNoSuch' as UserId), { refused: 'not_found' })
      // The asker holds a lease: it is told of changes.
      const told: unknown[] = []
      const stop = house.outside.subscribe(hostSubject('hOther' as Incarnation), ({ data }) =>
        told.push(data),
      )
      await house.outside.flush()
      const other = new HouseDevice(BOB, 'vBob2')
      await other.login(gateway)
      await eventually('it is told', () => told.length > 0)
      stop()
      other.client.close()
    },
  )

  await t.test(
    'R1 a handle that is gone: the route is dropped and the event sent by subject',
    async (t) => {
      await eventually(
        'deliveries go by handle',
        async () => {
          const { handles } = host.stats
          await ann.text(BOB, 'probe')
          return host.stats.handles > handles
        },
        { within: 10_000 },
      )
      const asks = new Asks(house.outside, 'hOther' as Incarnation, new Places(4))
      const [route] = (await asks.routes(BOB))!
      const seq = await ann.text(BOB, 'lost on its way')
      const frames: ReturnType<typeof readFrame>[] = []
      const stop = house.outside.subscribe(liveSubject(BOB), ({ data }) =>
        readLive(data, (_gateway, _handle, frame) => frames.push(readFrame(new Reader(frame)))),
      )
      await house.outside.flush()
      const { live } = host.stats
      const envelope = new Writer().str(gateway.id)
      writeLost(envelope, route!.handle, ROOM, seq)
      house.outside.publish(hostSubject(host.incarnation), envelope.take())
      await eventually('it comes by subject', () => frames.length > 0)
      t.match(frames, [{ name: 'event', room: ROOM, seq }])
      await ann.text(BOB, 'next')
      t.ok(host.stats.live > live, 'without a route until it is asked for again')
      // Of an event that memory does not have, pointers tell.
      const unknown = new Writer().str(gateway.id)
      writeLost(unknown, route!.handle, ROOM, 9999)
      house.outside.publish(hostSubject(host.incarnation), unknown.take())
      stop()
    },
  )

  await t.test(
    'R3 a session that hosts may not know of yet is told of pointers as they come',
    async () => {
      const got: string[] = []
      const stop = house.outside.subscribe('gw.wTest', ({ data }) =>
        got.push(Buffer.from(data).toString('latin1')),
      )
      await house.outside.flush()
      const stamp = { handle: 77, user: BOB, device: 'vBob7' as DeviceId }
      const hello = new Writer().str('wTest')
      const command = {
        name: 'hello',
        req: 1,
        generation: 3,
        cursor: null,
        wantsLineage: false,
      } as const
      writeRoomCommand(hello, 'user', 5, 1, stamp, encodeUserCommand(command))
      house.outside.publish(hostSubject(host.incarnation), hello.take())
      await eventually('it is admitted', () => got.length > 0)
      got.length = 0
      await ann.text(BOB, 'to be told')
      await eventually('the pointer is pushed', () =>
        got.some((text) => text.includes('to be told')),
      )
      stop()
    },
  )

  await t.test('O3 an owner answers on the actor’s own subject', async (t) => {
    const stamp = { handle: 0, user: BOB, device: 'vhost' as DeviceId }
    const writer = new Writer().str('hOther')
    writeRoomCommand(
      writer,
      'user',
      0,
      0,
      stamp,
      encodeUserCommand({ name: 'sync', req: 3, cursor: null }),
    )
    const p = new Places(4).of(BOB)
    const frame = readFrame(
      new Reader(await house.outside.request(userSubject(p, BOB), writer.take(), 2000)),
    )
    t.match(frame, { name: 'changes', req: 3, full: true })
  })

  await t.test('an answer that is none is an error', async (t) => {
    const odd = 'uOdd' as UserId
    const elsewhere = new Places(64)
    // Nobody of this cluster listens there.
    const p = [...Array(64).keys()].find((n) => n >= 4 && elsewhere.of(odd) === n)
    const stop = house.outside.subscribe('user.*.uOdd', ({ reply }) => {
      house.outside.publish(reply!, encodeFrame('pong', { req: 1, time: 1, cursor: null }))
    })
    await house.outside.flush()
    const places = { of: () => p ?? 63 } as unknown as Places
    const asks = new Asks(house.outside, 'hOther' as Incarnation, places)
    await t.rejects(asks.permit(odd, odd), /answered pong/)
    await t.rejects(asks.routes('uSilent' as UserId), 'nobody answers')
    stop()
  })
})
