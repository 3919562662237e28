/** Projectors that share one history on CQL, under load: one leaves, one dies, rows are lost and come back. */
import t from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user } from '../../actors/user/user.ts'
import { systemClock } from '../../lib/clock.ts'
import type { UserId } from '../../lib/ids.ts'
import { createLog } from '../../lib/log.ts'
import { Metrics } from '../../lib/metrics.ts'
import { askRebuild, holderOf, isRebuilt, projectionStatus } from '../../lib/projections/admin.ts'
import { askAudit } from '../../lib/projections/audit.ts'
import type { Difference } from '../../lib/projections/verify.ts'
import { openCql } from '../../lib/store/cql/open.ts'
import { eventually } from '../../lib/testing/eventually.ts'
import { HouseDevice, startHouse } from '../../lib/testing/house.ts'
import { skipWithout } from '../../lib/testing/servers/availability.ts'
import { findCassandra, startCassandra } from '../../lib/testing/servers/cassandra.ts'
import { cqlStage } from '../../lib/testing/servers/cql.ts'
import { createProjector } from './projector.ts'

t.setTimeout(300_000)

const LONG = { within: 60_000 }
const STREAMS = 2
const ANN = 'uann' as UserId
const OTHERS = Array.from({ length: 20 }, (_, n) => `uother${n}` as UserId)

const skip = await skipWithout('Cassandra', () => findCassandra(console.error))

t.test('L0 projectors share a history on CQL', { skip }, async (t) => {
  const server = await startCassandra(t, { commitLog: 'batch' })
  const cql = cqlStage(server, 'parley')
  t.teardown(() => cql.close())
  const house = await startHouse(t, { room: createRoomBehavior(), user }, { streams: STREAMS })
  const stores = await cql.open('history')
  t.teardown(() => stores.close())
  const { history } = stores
  await house.host({ history })
  const gateway = await house.gateway()
  for (const one of [ANN, ...OTHERS]) await house.account(one)
  const ann = new HouseDevice(ANN, 'vann')
  await ann.login(gateway)
  let sent = 0
  const say = async (count: number) => {
    for (let n = 0; n < count; n++) await ann.text(OTHERS[sent++ % OTHERS.length]!, `text ${sent}`)
  }

  const log = createLog({ level: 'error', format: 'text' })
  const join = async () => {
    const stores = await openCql(cql.options)
    const nats = await house.connect()
    const projector = await createProjector(
      { retentionDays: 0, data: t.testdir() },
      [house.server.url],
      nats,
      house.shape,
      { history: stores.history, exclusive: false },
      log,
      new Metrics(),
    )
    await projector.start(AbortSignal.timeout(20_000))
    let over = false
    const stop = async () => {
      if (over) return
      over = true
      await projector.drain(systemClock.monotonic() + 5_000).catch(() => undefined)
      await stores.close()
    }
    t.teardown(stop)
    return {
      stop,
      /** Ends it as `kill -9` would: its leases stay. */
      kill: async () => {
        await nats.close()
        await stop()
      },
    }
  }
  const holders = async () => {
    const all = []
    for (let k = 0; k < STREAMS; k++) all.push(await holderOf(house.outside, 'history', k))
    return new Set(all)
  }
  const caughtUp = () =>
    eventually(
      'all is stored',
      async () => {
        const status = await projectionStatus(house.outside, 'history', STREAMS)
        return status.every(({ lag, holder }) => lag === 0 && holder !== undefined)
      },
      LONG,
    )
  const verify = async () => {
    const differences: Difference[] = []
    let events = 0
    for (let k = 0; k < STREAMS; k++) {
      const holder = await holderOf(house.outside, 'history', k)
      const told = (one: Difference) => differences.push(one)
      events += (await askAudit(house.outside, holder!, k, told)).events
    }
    return { differences, events }
  }
  const all = () => sent + OTHERS.length

  const one = await join()
  await say(100)
  const other = await join()
  await eventually('they share', async () => (await holders()).size === STREAMS, LONG)
  await say(100)
  await caughtUp()
  t.same(await verify(), { differences: [], events: all() })

  const saying = say(200)
  await one.kill()
  const third = await join()
  await saying
  await eventually('two share again', async () => (await holders()).size === STREAMS, LONG)
  await caughtUp()
  t.same(await verify(), { differences: [], events: all() }, 'after one was killed')
  await other.stop()
  await say(20)
  await caughtUp()
  t.same(await verify(), { differences: [], events: all() }, 'after one has left')

  await cql.query('TRUNCATE $.messages')
  const lost = await verify()
  t.equal(lost.differences.length, OTHERS.length)
  t.ok(lost.differences.every(({ what, first }) => what === 'missing' && first === 1))
  const number = await askRebuild(house.outside, 'history')
  await eventually(
    'it is rebuilt',
    () => isRebuilt(house.outside, 'history', STREAMS, number),
    LONG,
  )
  t.same(await verify(), { differences: [], events: all() }, 'after a rebuild')
  await third.stop()
})
