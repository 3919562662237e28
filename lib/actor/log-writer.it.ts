import t, { type Test } from 'tap'
import type { Nats } from '../bus/bus.ts'
import { logSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { type Answer, chance, type FaultyWire, faultyWire } from '../testing/faulty-wire.ts'
import { holds, logOwner, recordsOf, sameBytes, takeLog } from '../testing/log-owner.ts'
import { seeded } from '../testing/seeded.ts'
import { startBus } from '../testing/servers/bus.ts'
import { fastClock } from '../testing/test-clock.ts'

const PARTITIONS = 8
/** A second of the log's rules is 50 ms here. */
const clock = fastClock(20)

const open = async (t: Test, nats: Nats, wire: FaultyWire, p: number, view = 1) => {
  const owner = logOwner(wire, p, await takeLog(nats, p, view), clock)
  t.teardown(() => owner.close())
  return owner
}

t.test('one server', async (t) => {
  const bus = await startBus(t, {
    partitions: PARTITIONS,
    streams: 1,
    limits: { logBytes: 1 << 20 },
  })
  const nats = await bus.connect()

  for (const seed of [1, 2, 3, 4]) {
    await t.test(
      `L1 L6 L7 L8 every batch once, in order, on a bad wire (seed ${seed})`,
      async (t) => {
        const wire = faultyWire(nats)
        const owner = await open(t, nats, wire, seed)
        wire.plan = chance(seeded(seed), { lose: 0.1, double: 0.1, late: 0.2, lateMs: 80 })
        for (let n = 0; n < 60; n++) await owner.commit()
        wire.plan = {}
        t.equal(owner.damage ?? owner.fencedBy, undefined)
        t.ok(await holds(nats, seed, owner), 'each batch once, in order, where it was told')
        t.ok(sameBytes(wire) > 5, 'batches were sent again')
        t.ok(owner.doubts.length > 5 && wire.faults > 20, 'faults have landed')
      },
    )
  }

  await t.test('L7 the ack was lost: its own record tells', async (t) => {
    const lost: Answer[] = []
    const wire = faultyWire(nats)
    const owner = await open(t, nats, wire, 5)
    wire.plan = {
      answer: (answer) => {
        if (lost.length > 0) return 'pass'
        lost.push(answer)
        return 'lose'
      },
    }
    await owner.commit()
    t.match(Buffer.from(lost[0]!.message.data).toString(), /"seq":/, 'it was an ack')
    t.equal(wire.appends.length, 2)
    t.ok(await holds(nats, 5, owner), 'once')
  })

  await t.test('L7 L9 another owner writes while a batch is on its way', async (t) => {
    const wire = faultyWire(nats)
    const owner = await open(t, nats, wire, 6)
    await owner.commit()
    wire.plan = { append: () => 'hold' }
    const decided = owner.commit()
    const next = await takeLog(nats, 6, 2)
    wire.plan = {}
    wire.letGo()
    await decided
    t.equal(owner.fencedBy, 2, 'with its view')
    t.equal(owner.committed.length, 1)
    const attempts = wire.appends.length
    const successor = logOwner(nats, 6, next, clock)
    await successor.commit()
    successor.close()
    wire.letGo()
    t.equal(wire.appends.length, attempts, 'the fenced one sends nothing more')
    const own = (await recordsOf(nats, 6)).filter(({ batch }) => batch.epoch === owner.writer.last)
    t.same(own, [], 'what came late was refused')
  })

  await t.test('L8 a full log: undecided until there is room, then the same bytes', async (t) => {
    const wire = faultyWire(nats)
    const owner = await open(t, nats, wire, 7)
    const full = { kind: 'epoch', nonce: 'x'.repeat(60), incarnation: 'h', host: 'x'.repeat(200) }
    const records = Array(800).fill(full)
    let waiting: Promise<void> | undefined
    const refused = () => owner.doubts.includes(10077)
    while (!refused()) {
      let committed = false
      waiting = owner.commit(records).then(() => {
        committed = true
      })
      await eventually('committed, or refused', () => committed || refused())
    }
    const before = owner.committed.length
    const { lastSeq } = await nats.streams.state('LOG_0')
    await nats.streams.purge('LOG_0', lastSeq, logSubject(7))
    await waiting
    t.equal(owner.committed.length, before + 1)
    t.ok(sameBytes(wire) > 0)
  })

  await t.test('L8 the server dies with a batch on its way', async (t) => {
    const wire = faultyWire(nats)
    const owner = await open(t, nats, wire, 0)
    t.teardown(nats.onGap(() => owner.writer.pulse(true)))
    await owner.commit()
    wire.plan = { append: () => 'lose' }
    const decided = owner.commit()
    await bus.server.kill()
    await eventually('the connection is gone', () => !nats.connected)
    wire.plan = {}
    await bus.server.start()
    await decided
    t.ok(await holds(nats, 0, owner), 'once')
    t.ok(owner.doubts.includes(0), 'no reply')
  })
})
