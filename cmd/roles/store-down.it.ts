/** The history out of reach: what goes on, what is refused and how, and that nothing is lost. */
import t, { type Test } from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { user } from '../../actors/user/user.ts'
import { checkpointKey, Positions } from '../../lib/bus/positions.ts'
import { readFloor } from '../../lib/bus/projections.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { errorByNumber } from '../../lib/errors.ts'
import type { RoomId, UserId } from '../../lib/ids.ts'
import { createLog } from '../../lib/log.ts'
import { Metrics } from '../../lib/metrics.ts'
import { holderOf, projectionStatus } from '../../lib/projections/admin.ts'
import { askAudit } from '../../lib/projections/audit.ts'
import type { Difference } from '../../lib/projections/verify.ts'
import { encodeFrame } from '../../lib/protocol/codec.ts'
import { levelHistory } from '../../lib/store/level/level-history.ts'
import { eventually } from '../../lib/testing/eventually.ts'
import { failingHistory } from '../../lib/testing/failing-history.ts'
import { type Asked, HostClient } from '../../lib/testing/host-client.ts'
import { startHouse } from '../../lib/testing/house.ts'
import { fastClock } from '../../lib/testing/test-clock.ts'
import { createProjector } from './projector.ts'

const ANN = 'uann' as UserId
const ROOM = 'gStoreDownRoom________' as RoomId
const LONG = { within: 30_000 }

const numbered = (n: number) => ({ req: n, room: ROOM, lineage: 9, join: 0, n, low: n })
const create = encodeFrame('create', {
  ...{ ...numbered(1), title: 'A', openHistory: true, members: [] },
})
const send = (n: number, text = `text ${n}`) =>
  encodeFrame('send', { ...numbered(n), text, peer: null })
const fetch = (from: number, limit = 10) =>
  encodeFrame('fetch', { req: 1, room: ROOM, from, limit, back: false })
const answerTo = (asked: Asked) =>
  eventually('an answer', () => asked.answer ?? asked.laters[0], LONG)

const stage = async (t: Test, logBytes: number, clock: Clock = systemClock) => {
  const limits = { logBytes }
  const house = await startHouse(t, { room: createRoomBehavior(), user }, { partitions: 1, limits })
  const history = failingHistory(levelHistory(house.database))
  t.teardown(() => history.close())
  const host = await house.host({ history, clock })
  const client = new HostClient(house.outside)
  t.teardown(async () => client.close())
  const log = createLog({ level: 'error', format: 'text', destination: { write: () => {} } })
  const metrics = new Metrics()
  const data = t.testdir()
  const projector = await createProjector(
    ...([{ retentionDays: 0, data }, [house.server.url], await house.connect()] as const),
    ...([house.shape, { history, exclusive: true }, log, metrics] as const),
  )
  await projector.start(AbortSignal.timeout(20_000))
  t.teardown(() => projector.drain(systemClock.monotonic() + 5_000))
  const put = (frame: Uint8Array) => client.ask(host.incarnation, ANN, frame)[0]!
  const ask = (frame: Uint8Array) => answerTo(put(frame))
  const state = () => house.outside.streams.state('LOG_0')
  const checkpoints = await house.outside.bucket('checkpoints')
  const floor = async () => readFloor((await checkpoints.get('floor.history.0'))?.value).position
  const checkpoint = () => new Positions(checkpoints).read(checkpointKey(0))
  const caughtUp = async () =>
    eventually(
      'the history has all',
      async () => {
        const [only] = await projectionStatus(house.outside, 'history', 1)
        return only!.lag === 0 && (await floor()) >= (await state()).lastSeq
      },
      LONG,
    )
  const differences = async () => {
    const found: Difference[] = []
    const holder = await holderOf(house.outside, 'history', 0)
    const verified = await askAudit(house.outside, holder!, 0, (one) => found.push(one))
    return { found, verified }
  }
  return { ...house, history, checkpoint, put, ask, state, floor, caughtUp, differences }
}

t.test('sends go on; old events are refused for now, and the projection catches up', async (t) => {
  const { ask, history, caughtUp, differences } = await stage(t, 64 << 20)
  t.match(await ask(create), { name: 'ack', seq: 1 })
  for (let n = 2; n <= 200; n++) t.match(await ask(send(n)), { name: 'ack', seq: n })
  await caughtUp()
  // Memory lets go of what is stored with the next commits.
  for (let n = 201; n <= 210; n++) await ask(send(n))
  await caughtUp()
  await eventually('memory has let go of the oldest', async () => {
    await history.fail()
    const answer = await ask(fetch(1))
    if (answer.name === 'error') return true
    history.mend()
    return false
  })
  const refused = await ask(fetch(1))
  t.equal(refused.name === 'error' && errorByNumber(refused.code), 'unavailable')
  t.match(refused, { temporary: true })
  t.match(await ask(fetch(205)), { name: 'page', head: 210 }, 'what memory has is read')
  for (let n = 211; n <= 300; n++) t.match(await ask(send(n)), { name: 'ack', seq: n })
  t.match(await ask(fetch(295)), { name: 'page', head: 300 }, 'and what is new')
  await eventually('it tries', () => history.refused > 3)
  history.mend()
  await caughtUp()
  const page = await ask(fetch(1))
  t.equal(page.name === 'page' && page.events.length, 10)
  const { found, verified } = await differences()
  t.same(found, [])
  t.equal(verified.rooms, 1)
})

/** Every event can be read, and the log and the history agree. */
const whole = async (
  t: Test,
  { ask, differences }: Awaited<ReturnType<typeof stage>>,
  n: number,
) => {
  t.same((await differences()).found, [], 'nothing is missing')
  let read = 0
  for (let from = 1; from <= n; from++) {
    const page = await ask(fetch(from, 1))
    if (page.name === 'page') read += page.events.length
  }
  t.equal(read, n, 'all can be read')
}

t.test(
  'L0 a log that fills refuses new sends, keeps what is not stored, and recovers',
  async (t) => {
    const its = await stage(t, 400_000, fastClock(10))
    const { ask, history, state, floor, caughtUp } = its
    t.match(await ask(create), { name: 'ack', seq: 1 })
    await caughtUp()
    history.fail()
    const before = await floor()
    const text = 'x'.repeat(8000)
    const fill = async () => {
      const { bytes, maxBytes } = await state()
      return bytes / maxBytes
    }
    let n = 1
    while ((await fill()) < 0.82) if ((await ask(send(n + 1, text))).name === 'ack') n++
    const refused = await eventually(
      'it is noticed',
      async () => {
        const answer = await ask(send(n + 1))
        if (answer.name === 'ack') n++
        return answer.name === 'error' && answer
      },
      LONG,
    )
    t.match(refused, { temporary: true })
    t.ok((await fill()) < 0.95, 'there is room for epochs and ticks')
    const { firstSeq } = await state()
    t.ok(firstSeq <= before + 1, 'nothing is gone that is not stored')
    history.mend()
    await eventually(
      'it takes texts again',
      async () => {
        const answer = await ask(send(n + 1))
        return answer.name === 'ack' && answer.seq === n + 1
      },
      LONG,
    )
    await caughtUp()
    t.ok((await state()).firstSeq > firstSeq, 'it was trimmed')
    await whole(t, its, n + 1)
  },
)

t.test(
  'L0 L8 a batch that found the log full stays as it is, and is committed when there is room',
  async (t) => {
    const its = await stage(t, 400_000, fastClock(10))
    const { put, ask, history, state, floor, checkpoint, caughtUp } = its
    t.match(await ask(create), { name: 'ack', seq: 1 })
    await caughtUp()
    history.fail()
    const before = await floor()
    const text = 'x'.repeat(8000)
    // What is trimmed to make room lies below a checkpoint, and none is made while a batch is undecided: the two fifths
    // of the log that come before one are what the burst needs, and no more.
    for (let n = 2; n <= 20; n++) t.match(await ask(send(n, text)), { name: 'ack' })
    const { lastSeq } = await state()
    await eventually('a checkpoint', async () => (await checkpoint()) >= lastSeq, LONG)
    // Quicker than anybody looks at how full it is.
    const asked: Asked[] = []
    for (let n = 21; n <= 60; n++) asked.push(put(send(n, text)))
    await eventually(
      'it has tried in vain',
      () => its.lines.some((line) => line.includes('log_full')),
      LONG,
    )
    const unanswered = asked.filter(({ answer, laters }) => !answer && laters.length === 0)
    t.ok(unanswered.length > 0, 'whose batch is undecided is told nothing')
    t.ok((await state()).firstSeq <= before + 1, 'nothing is gone that is not stored')
    history.mend()
    // What was still on its way to the host then may be refused for now; a frozen batch may not.
    await eventually(
      'all are answered or refused for now',
      () => unanswered.every(({ answer, laters }) => answer !== undefined || laters.length > 0),
      LONG,
    )
    const committed = unanswered.filter(({ answer }) => answer !== undefined)
    t.ok(committed.length > 0, 'what was frozen is decided')
    t.ok(
      committed.every(({ answer }) => answer?.name === 'ack'),
      'it is committed',
    )
    const acks = asked.filter(({ answer }) => answer?.name === 'ack').length
    await caughtUp()
    await whole(t, its, acks + 20)
  },
)
