import t, { type Test } from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user } from '../../actors/user/user.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { dmId, type UserId } from '../../lib/ids.ts'
import { createLog } from '../../lib/log.ts'
import { Metrics } from '../../lib/metrics.ts'
import { readFrames } from '../../lib/protocol/codec.ts'
import { levelHistory } from '../../lib/store/level/level-history.ts'
import { eventually } from '../../lib/testing/eventually.ts'
import { HouseDevice, startHouse } from '../../lib/testing/house.ts'
import { createProjector } from './projector.ts'

const ANN = 'uann' as UserId
const BEN = 'uben' as UserId
const ROOM = dmId(ANN, BEN)
const DAY = 86_400_000
const LONG = { within: 20_000 }
/** A month behind. */
const LATE: Clock = { ...systemClock, now: () => systemClock.now() - 30 * DAY }

type House = Pick<
  Awaited<ReturnType<typeof startHouse>>,
  'server' | 'shape' | 'connect' | 'database'
>

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, n) => first + n)
/** Numbers of events, and `first-last` of skips. */
const entriesOf = (frames: readonly unknown[]): (number | string)[] =>
  frames.flatMap((bytes) =>
    readFrames(bytes as Uint8Array).map((frame) =>
      frame.name === 'skip'
        ? `${frame.first}-${frame.last}`
        : frame.name === 'event'
          ? frame.seq
          : '?',
    ),
  )

const pageOf = async ({ client }: HouseDevice, from: number, limit: number, back: boolean) => {
  const req = client.nextReq
  client.send('fetch', { req, room: ROOM, from, limit, back })
  const { first, head, events } = await client.frame('page', req)
  return { first, head, entries: entriesOf(events) }
}

/** The projector of a process, and the history that it writes. */
const projecting = async (t: Test, house: House, retentionDays: number) => {
  const history = levelHistory(house.database)
  t.teardown(() => history.close())
  const metrics = new Metrics()
  const service = await createProjector(
    { retentionDays, data: t.testdir() },
    [house.server.url],
    await house.connect(),
    house.shape,
    { history, exclusive: true },
    createLog({ level: 'error', format: 'text' }),
    metrics,
  )
  await service.start(AbortSignal.timeout(20_000))
  const drain = () => service.drain(systemClock.monotonic() + 5000)
  return { history, metrics, drain }
}

t.test('what is older than the retention is gone for who reads, and nothing else', async (t) => {
  const house = await startHouse(t, { room: createRoomBehavior(), user })
  const first = await house.host({ clock: LATE })
  const gateway = await house.gateway()
  await house.account(ANN)
  await house.account(BEN)
  const [ann, ben] = [new HouseDevice(ANN, 'vann'), new HouseDevice(BEN, 'vben')]
  await ben.login(gateway)
  t.match(await ben.queue(true), { name: 'ok' })
  ben.client.close()
  const { lineage } = await ann.login(gateway)
  /** Ann's n-th message of the conversation, whose first event says that it was made. */
  const say = async (n: number) => {
    const { client } = ann
    const req = client.nextReq
    const text = `message ${n}`
    client.send('send', {
      ...{ req, room: ROOM, lineage: lineage!, join: 0, n, low: n, text, peer: BEN },
    })
    return (await client.frame('ack', req)).seq
  }
  for (let n = 1; n <= 150; n++) t.equal(await say(n), n + 1)
  await first.kill()
  const second = await house.host()
  for (let n = 151; n <= 250; n++) t.equal(await say(n), n + 1)

  const all = { first: 1, head: 251 }
  t.same(await pageOf(ann, 1, 256, false), { ...all, entries: range(1, 251) })
  const { lastSeq } = await house.outside.streams.state('LOG_0')
  const before = await projecting(t, house, 0)
  await eventually('all is stored', async () => (await before.history.floor(0)) >= lastSeq, LONG)
  await before.drain()
  t.same(await pageOf(ann, 1, 256, false), { ...all, entries: range(1, 251) }, 'for ever')

  const after = await projecting(t, house, 10)
  const { history } = after
  await eventually('it is dropped', async () => (await history.kept(ROOM)) === 152, LONG)
  await after.drain()
  t.match(await after.metrics.text(), /parley_retention_events_total 151/)

  const reads = async (what: string, head: number) => {
    const up = (from: number, limit: number) => pageOf(ann, from, limit, false)
    const down = (from: number, limit: number) => pageOf(ann, from, limit, true)
    const bounds = { first: 152, head }
    t.same(await up(1, 256), { ...bounds, entries: ['1-151', ...range(152, head)] }, what)
    t.same(await up(100, 60), { ...bounds, entries: ['100-151', ...range(152, 159)] }, what)
    t.same(await up(3, 10), { ...bounds, entries: ['3-151'] }, what)
    t.same(await up(152, 10), { ...bounds, entries: range(152, 161) }, what)
    t.same(await down(0, 256), { ...bounds, entries: range(152, head) }, what)
    t.same(await down(160, 20), { ...bounds, entries: range(152, 160) }, what)
    t.same(await down(151, 20), { ...bounds, entries: [] }, what)
    t.same(await down(20, 20), { ...bounds, entries: [] }, what)
  }
  await reads('with what was in memory', 251)
  t.equal(await say(251), 252, 'numbering goes on')
  await reads('after a send', 252)
  await second.kill()
  await house.host()
  await reads('of another host', 252)

  // Its queue holds pointers from before.
  await ben.login(gateway)
  t.match(await ben.queue(true), { name: 'ok' })
  const entries = () => ben.queued.flatMap(({ events }) => entriesOf(events))
  await eventually('its queue comes', () => entries().includes(252), LONG)
  const numbers = entries().filter((entry) => typeof entry === 'number')
  t.ok(numbers.every((seq) => seq >= 152))
  t.same([...new Set(numbers)], range(152, 252), 'whole above the floor')
})
