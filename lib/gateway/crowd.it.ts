/** Clients that read slowly, come and go, or say nothing: the others and the memory do not notice. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { CLOSE } from '../errors.ts'
import { eventually } from '../testing/eventually.ts'
import { helloFrame, RawClient, wsFrame } from '../testing/gateway/raw-client.ts'
import { eventFrame } from '../testing/gateway/scripted-host.ts'
import { sendFrame, TestClient } from '../testing/gateway/test-client.ts'
import { ALL, startWorld } from '../testing/gateway/world.ts'

const ROOM = 'gRoomOfTheTest'
const MIB = 1024 * 1024

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

t.test(
  'a reader that stops reading is closed as slow, without a hole, the others read on',
  async (t) => {
    const world = await startWorld(t)
    const host = await world.host()
    await host.own(ALL, 1)
    const gateway = await world.gateway({ outboxBytes: 256 * 1024 })
    const slow = await RawClient.welcomed(gateway.port, 'uSlow/v1')
    const slowHandle = host.commands.at(-1)!.handle
    const quick = await TestClient.login(gateway.url, 'uQuick/v1')
    const quickHandle = host.commands.at(-1)!.handle
    slow.read(false)
    const text = 'z'.repeat(8000)
    let seq = 0
    await eventually('the slow one is closed', async () => {
      for (let i = 0; i < 50; i++) {
        seq++
        host.deliver(gateway.id, [slowHandle, quickHandle], eventFrame(ROOM, seq, text))
      }
      await eventually('the quick one has them all', () => quick.of('event').length === seq)
      return gateway.stats().closes.slow === 1
    })
    t.strictSame(
      quick.of('event').map((event) => event.seq),
      [...Array(seq).keys()].map((i) => i + 1),
    )
    t.equal(gateway.stats().sessions, 1)
    slow.read(true)
    await eventually('the slow one learns of it', () => slow.closed, { within: 10_000 })
    t.equal(slow.closeCode, CLOSE.slow.number)
    const got = slow.frames.flatMap((frame) => (frame.name === 'event' ? [frame.seq] : []))
    t.ok(got.length > 0 && got.length < seq)
    t.strictSame(
      got,
      [...Array(got.length).keys()].map((i) => i + 1),
      'what it got is a beginning without a hole',
    )
  },
)

t.test('one that never reads again is let go of', async (t) => {
  const world = await startWorld(t)
  const host = await world.host()
  await host.own(ALL, 1)
  const gateway = await world.gateway({ outboxBytes: 64 * 1024, heartbeatMs: 1000 })
  const client = await RawClient.welcomed(gateway.port, 'uSlow/v1')
  const { handle } = host.commands.at(-1)!
  client.read(false)
  let seq = 0
  await eventually('it is closed', () => {
    for (let i = 0; i < 50; i++) {
      host.deliver(gateway.id, [handle], eventFrame(ROOM, ++seq, 'z'.repeat(8000)))
    }
    return (gateway.stats().closes.slow ?? 0) + (gateway.stats().closes.idle ?? 0) === 1
  })
  t.equal(gateway.stats().sessions, 0)
  t.equal(gateway.stats().users, 0)
})

t.test('silence of two heartbeats ends a session, pings keep it', async (t) => {
  const world = await startWorld(t)
  const host = await world.host()
  await host.own(ALL, 1)
  const gateway = await world.gateway({ heartbeatMs: 300, beatMs: 100 })
  const silent = await TestClient.login(gateway.url, 'uA/v1')
  const pinging = await TestClient.login(gateway.url, 'uA/v2')
  const timer = setInterval(() => pinging.send('ping', { req: pinging.nextReq }), 50)
  t.teardown(() => clearInterval(timer))
  t.equal((await silent.end()).code, CLOSE.idle.number)
  t.equal(pinging.closed, undefined)
  t.ok(pinging.of('pong').length > 5)
})

t.test('a thousand connections a second come and go, and leave nothing', async (t) => {
  const world = await startWorld(t)
  const host = await world.host()
  await host.own(ALL, 1)
  const gateway = await world.gateway()
  const bystander = await TestClient.login(gateway.url, 'uBystander/v1')
  let n = 0
  const round = async (count: number, until: (i: number) => Promise<void>): Promise<void> => {
    for (let at = 0; at < count; at += 100) {
      await Promise.all([...Array(100).keys()].map((i) => until(at + i)))
      bystander.text(ROOM, ++n)
      await bystander.frame('ack', n)
    }
    await eventually('all are gone', () => gateway.stats().sessions === 1)
    await eventually('their users too', () => gateway.stats().users === 1)
    host.items.length = 0
    bystander.frames.length = 0
  }
  const half = async (i: number): Promise<void> => {
    const client = await RawClient.upgraded(gateway.port)
    client.write(wsFrame(i % 2 === 0 ? helloFrame(`uU${i}/v1`) : Buffer.of(0x96, 1)))
    if (i % 4 === 0) await eventually('welcome', () => client.frames.length > 0)
    if (i % 8 === 0) client.write(wsFrame(sendFrame(ROOM, 1, 'text')))
    client.destroy()
  }
  const used = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
  await round(1000, half)
  const before = used()
  await round(3000, half)
  const grown = used() - before
  t.ok(grown < 6 * MIB, `heap grew by ${grown} bytes over 3,000 connections`)
  await eventually('no command is left', () => gateway.stats().outstanding === 0, {
    within: 35_000,
  })
  t.equal(bystander.closed, undefined)
})
