import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user } from '../../actors/user/user.ts'
import { fromJson, type Owner } from '../bus/cluster.ts'
import { systemClock } from '../clock.ts'
import { errorByNumber } from '../errors.ts'
import { newIncarnation, partitionOf, type RoomId, type UserId } from '../ids.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { eventually } from '../testing/eventually.ts'
import { faultyWire } from '../testing/faulty-wire.ts'
import { type Asked, HostClient } from '../testing/host-client.ts'
import { startHouse } from '../testing/house.ts'
import { logOwner, recordsOf, takeLog } from '../testing/log-owner.ts'
import { fastClock } from '../testing/test-clock.ts'

const ANN = 'uann' as UserId
const BEN = 'uben' as UserId
const room = (i: number) => `gHostRoom${i}`.padEnd(22, '_') as RoomId
const ROOM = room(0)
const FAST = { beat: 100, suspicion: 600, hold: 200, balance: 300 }
const LONG = { within: 20_000 }

const house = async (t: Test, given: Parameters<typeof startHouse>[2] = {}) => {
  const its = await startHouse(t, { room: createRoomBehavior(), user }, given)
  const client = new HostClient(its.outside)
  t.teardown(() => client.close())
  const owner = async (p: number) => {
    const entry = await (await its.outside.bucket('owners')).get(String(p))
    return entry?.value === undefined ? undefined : fromJson<Owner>(entry.value)
  }
  return { ...its, client, owner }
}
const numbered = (n: number, room = ROOM) => ({ req: n, room, lineage: 9, join: 0, n, low: n })
const create = (room = ROOM) =>
  encodeFrame('create', { ...numbered(1, room), title: 'A', openHistory: true, members: [BEN] })
const send = (n: number, room = ROOM, text = `text ${n}`) =>
  encodeFrame('send', { ...numbered(n, room), text, peer: null })
const open = (room = ROOM) => encodeFrame('open', { req: 1, room, peer: null, lineage: null })
const fetch = (from: number) =>
  encodeFrame('fetch', { req: 1, room: ROOM, from, limit: 10, back: false })
const answered = (asked: Asked) => eventually('an answer', () => asked.answer)
const acked = async (asked: Asked) => {
  const answer = await answered(asked)
  if (answer.name !== 'ack') throw new Error(`no ack: ${JSON.stringify(answer)}`)
  return answer.seq
}

t.test('L1 what an envelope brings is one batch; its answers are one envelope', async (t) => {
  const its = await house(t)
  const host = await its.host()
  const { batches, records } = host.stats
  const asked = its.client.ask(host.incarnation, ANN, create(), send(2), send(3), open())
  t.same(await Promise.all(asked.slice(0, 3).map(acked)), [1, 2, 3])
  t.match(await answered(asked[3]!), { name: 'info', head: 3 })
  t.match(host.stats, { batches: batches + 1, records: records + 3, commands: 4, rooms: 1 })
})

t.test('an envelope that can not be read is logged; the host goes on', async (t) => {
  const its = await house(t)
  const host = await its.host()
  its.client.raw(host.incarnation, Uint8Array.of(0xa1, 0x77, 0x63))
  await eventually('it is logged', () => its.lines.some((line) => line.includes('unreadable')))
  const [asked] = its.client.ask(host.incarnation, ANN, create())
  t.equal(await acked(asked!), 1)
})

t.test(
  'L0 from 80 % of the log durable commands are overloaded, until it is trimmed',
  async (t) => {
    const its = await house(t, { partitions: 2, limits: { logBytes: 400_000 } })
    const host = await its.host({ clock: fastClock(10) })
    await acked(its.client.ask(host.incarnation, ANN, create())[0]!)
    const fill = async () => {
      const { bytes, maxBytes } = await its.outside.streams.state('LOG_0')
      return bytes / maxBytes
    }
    let n = 2
    while ((await fill()) < 0.82) {
      await acked(its.client.ask(host.incarnation, ANN, send(n++, ROOM, 'x'.repeat(8000)))[0]!)
    }
    const answerOf = async () => {
      const [asked] = its.client.ask(host.incarnation, ANN, send(n))
      const answer = await eventually('an answer', () => asked!.answer ?? asked!.laters[0])
      if (asked!.answer !== undefined) n++
      return answer
    }
    const refused = await eventually('it is noticed', async () => {
      const answer = await answerOf()
      return answer.name === 'error' && answer
    })
    t.match([errorByNumber(refused.code), refused.temporary], ['overloaded', true])
    t.ok((await fill()) < 0.9, 'there is room for epochs and ticks')
    const [info, page] = its.client.ask(host.incarnation, BEN, open(), fetch(1))
    t.match(await answered(info!), { name: 'info', head: n - 1 }, 'reads go on')
    t.match(await answered(page!), { name: 'page' })

    // History has stored everything, and the checkpoints follow.
    const { lastSeq } = await its.outside.streams.state('LOG_0')
    const floors = await its.outside.bucket('checkpoints')
    await floors.put('floor.history.0', Buffer.from(String(lastSeq)))
    await eventually('it takes texts again', async () => (await answerOf()).name === 'ack', LONG)
  },
)

t.test('L0 a full stream of the log refuses nobody of another stream', async (t) => {
  const limits = { logBytes: 400_000 }
  const its = await house(t, { partitions: 2, streams: 2, limits })
  const host = await its.host({ clock: fastClock(10) })
  const of = (k: number) => [...Array(99).keys()].map(room).find((r) => partitionOf(r, 2) === k)!
  const [full, other] = [of(0), of(1)]
  const ask = (frame: Uint8Array) => its.client.ask(host.incarnation, ANN, frame)[0]!
  for (const id of [full, other]) await acked(ask(create(id)))
  const fill = async (k: number) => {
    const { bytes, maxBytes } = await its.outside.streams.state(`LOG_${k}`)
    return bytes / maxBytes
  }
  let n = 2
  while ((await fill(0)) < 0.82) await acked(ask(send(n++, full, 'x'.repeat(8000))))
  await eventually('it is noticed', async () => {
    const asked = ask(send(n, full))
    const answer = await eventually('an answer', () => asked.answer ?? asked.laters[0])
    if (answer.name === 'ack') n++
    return answer.name === 'error' && errorByNumber(answer.code) === 'overloaded'
  })
  t.equal(await acked(ask(send(2, other))), 2)
  t.ok((await fill(1)) < 0.1)
})

t.test('L9 O5 a fenced host stops, and takes the partition again under a newer view', async (t) => {
  const its = await house(t, { partitions: 2 })
  const host = await its.host({ timing: FAST })
  const p = partitionOf(ROOM, 2)
  await acked(its.client.ask(host.incarnation, ANN, create())[0]!)
  const view = host.placement.view + 5
  const epoch = await takeLog(its.outside, p, view)
  const [asked] = its.client.ask(host.incarnation, ANN, send(2))
  await eventually('it is told', () => asked!.moves === 1)
  t.equal(asked!.answer, undefined)
  t.notOk(host.serving.includes(p))
  t.equal(host.serving.length, 1, 'the other partition goes on')
  await eventually('it serves again', () => host.serving.includes(p), LONG)
  t.ok(host.placement.view > view)
  t.ok((await its.owner(p))!.epoch > epoch)
  const [again] = its.client.ask(host.incarnation, ANN, send(2))
  t.equal(await acked(again!), 2)
})

t.test('L10 a host that takes over from one that may live is quiet for a while', async (t) => {
  const its = await house(t, { partitions: 2 })
  let frozen: number | undefined
  const clock = { now: () => Date.now(), monotonic: () => frozen ?? performance.now() }
  const host = await its.host({ timing: FAST, exclusive: false, clock })
  const p = partitionOf(ROOM, 2)
  const stranger = logOwner(its.outside, p, await takeLog(its.outside, p, 50), systemClock, 50)
  t.teardown(() => stranger.close())
  await stranger.commit()
  its.client.ask(host.incarnation, ANN, open())
  const epoch = await eventually(
    'the host takes it back',
    async () => {
      const last = (await recordsOf(its.outside, p)).at(-1)!
      return last.seq > stranger.writer.last && last.seq
    },
    LONG,
  )
  frozen = performance.now()
  await eventually('the inbox is read', async () =>
    (await its.outside.streams.consumers('INBOX_0')).includes(`inbox_${p}_${epoch}`),
  )
  await pause(100)
  t.notOk(host.serving.includes(p))
  frozen = undefined
  await eventually('it serves', () => host.serving.includes(p), LONG)
})

t.test('drain: two hosts, one leaves: the other serves all at once, nothing is lost', async (t) => {
  const its = await house(t, { partitions: 4 })
  const options = (name: string) => ({
    exclusive: false,
    timing: FAST,
    identity: { incarnation: newIncarnation(), host: name },
  })
  const first = await its.host(options('one'))
  const rooms = [0, 1, 2, 3, 4, 5, 6, 7].map(room)
  for (const id of rooms) {
    const asked = its.client.ask(first.incarnation, ANN, create(id), send(2, id))
    await Promise.all(asked.map(acked))
  }
  const second = await its.idle(options('two'))
  await second.start(AbortSignal.timeout(20_000))
  await eventually('both are there', () => second.placement.members.length === 2, LONG)
  const before = second.serving.length
  await first.drain(performance.now() + 15_000)
  await eventually('the other serves all', () => second.serving.length === 4, LONG)
  t.ok(before < 4)
  for (const p of [0, 1, 2, 3]) {
    const records = await recordsOf(its.outside, p)
    const epoch = records.findLast(({ batch }) => batch.epoch === 0)!
    const previous = records[records.indexOf(epoch) - 1]!
    t.equal(previous.batch.records.at(-1)?.kind, 'handover', 'the last word of the first')
  }
  for (const id of rooms) {
    const [info, next] = its.client.ask(second.incarnation, ANN, open(id), send(3, id))
    t.match(await answered(info!), { name: 'info', head: 2 })
    t.equal(await acked(next!), 3)
  }
  const [gone] = its.client.ask(first.incarnation, ANN, open())
  await its.outside.flush()
  t.equal(gone!.answer, undefined)
})

t.test('O1 a host that a newer incarnation has replaced stops serving', async (t) => {
  const its = await house(t, { partitions: 2 })
  const old = await its.host({ exclusive: false, timing: FAST })
  const next = await its.idle({ exclusive: false, timing: FAST })
  await next.start(AbortSignal.timeout(20_000))
  await eventually('the old one stops', () => old.serving.length === 0, LONG)
  await eventually('the new one serves', () => next.serving.length === 2, LONG)
})

t.test('a start that is given up leaves nothing behind', async (t) => {
  const its = await house(t, { partitions: 2 })
  const wire = faultyWire(await its.connect())
  let subscriptions = 0
  const counted = Object.create(wire, {
    subscribe: {
      value: (...args: Parameters<typeof wire.subscribe>) => {
        subscriptions++
        const end = wire.subscribe(...args)
        return () => {
          subscriptions--
          end()
        }
      },
    },
  })
  const host = await its.idle({ nats: counted })
  await t.rejects(host.start(AbortSignal.abort(new Error('not now'))), /not now/)
  t.equal(subscriptions, 0)
  const workers = await its.outside.bucket('workers')
  const held = await Promise.all((await workers.keys()).map((key) => workers.get(key)))
  t.same(
    held.map((entry) => fromJson<{ holder: string }>(entry!.value!).holder),
    [''],
    'its worker number is free',
  )
})

t.test(
  'L0 from 80 % of the inbox pointers stay here, coalesced, until there is room',
  async (t) => {
    const its = await house(t, { partitions: 2, limits: { inboxBytes: 6_000 } })
    const host = await its.host({ clock: fastClock(10) })
    await acked(its.client.ask(host.incarnation, ANN, create())[0]!)
    const fill = async () => {
      const { bytes, maxBytes } = await its.outside.streams.state('INBOX_0')
      return bytes / maxBytes
    }
    let n = 1
    const text = async () => {
      await acked(its.client.ask(host.incarnation, ANN, send(++n, ROOM, 'x'.repeat(1000)))[0]!)
    }
    await eventually(
      'the inbox is nearly full',
      async () => {
        await text()
        return (await fill()) > 0.82
      },
      LONG,
    )
    const said = (full: boolean) =>
      its.lines.some((line) => line.includes('inbox.full') && line.includes(`"full":${full}`))
    await eventually('it is noticed', () => said(true), LONG)
    const before = await fill()
    await text()
    await eventually('there is room', () => said(false), LONG)
    t.ok(before < 1)
    await eventually('pointers leave', () => host.stats.pointers === 0, LONG)
    t.ok((await fill()) < 0.8)
  },
)
