/** The commands of operators against what runs, each a process as at a prompt. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createRoomBehavior } from '../actors/room/room.ts'
import { user } from '../actors/user/user.ts'
import { systemClock } from '../lib/clock.ts'
import { dmId, type UserId } from '../lib/ids.ts'
import { createLog } from '../lib/log.ts'
import { Metrics } from '../lib/metrics.ts'
import { projectionStatus, type StreamStatus } from '../lib/projections/admin.ts'
import { setAside } from '../lib/projections/set-aside.ts'
import { HISTORY_RANGE } from '../lib/store/level/keys.ts'
import { levelHistory } from '../lib/store/level/level-history.ts'
import { eventually } from '../lib/testing/eventually.ts'
import { HouseDevice, startHouse } from '../lib/testing/house.ts'
import { outcomeOf } from '../lib/testing/outcome.ts'
import { createProjector } from './roles/projector.ts'

const PARLEY = fileURLToPath(new URL('parley.ts', import.meta.url))
const LONG = { within: 30_000 }
const ANN = 'uann' as UserId
const BEN = 'uben' as UserId
const ROOM = dmId(ANN, BEN)

/** Without what a test runner puts in to measure its own processes. */
const { NODE_OPTIONS: _, ...env } = process.env

const ending = async (child: ChildProcess) => {
  const { code, out, err } = await outcomeOf(child)
  return { code, lines: out.split('\n').filter((line) => line !== ''), notes: err }
}

const stage = async (t: Test) => {
  const house = await startHouse(t, { room: createRoomBehavior(), user }, { streams: 2 })
  await house.host()
  const gateway = await house.gateway()
  await house.account(ANN)
  await house.account(BEN)
  const ann = new HouseDevice(ANN, 'vann')
  await ann.login(gateway)
  const history = levelHistory(house.database)
  t.teardown(() => history.close())
  const projector = await createProjector(
    { retentionDays: 0, data: t.testdir() },
    [house.server.url],
    await house.connect(),
    house.shape,
    { history, exclusive: true },
    createLog({ level: 'error', format: 'text' }),
    new Metrics(),
  )
  await projector.start(AbortSignal.timeout(20_000))
  let over = false
  const stop = async () => {
    over = true
    await projector.drain(systemClock.monotonic() + 5_000)
  }
  t.teardown(async () => {
    if (!over) await stop()
  })
  const parley = (...args: string[]) =>
    ending(spawn(process.execPath, [PARLEY, ...args, '--nats-url', house.server.url], { env }))
  const status = () => projectionStatus(house.outside, 'history', 2)
  const caughtUp = () =>
    eventually(
      'all is stored',
      async () => (await status()).every(({ lag, holder }) => lag === 0 && holder !== undefined),
      LONG,
    )
  return { ...house, ann, history, parley, status, caughtUp, stop }
}

t.test('verify tells what history has lost, rebuild brings it back', async (t) => {
  const its = await stage(t)
  for (let n = 1; n <= 20; n++) await its.ann.text(BEN, `text ${n}`)
  await its.caughtUp()
  const clean = await its.parley('verify')
  t.match(clean, { code: 0, notes: '' })
  t.match(clean.lines, [/^\d+ log records with 21 events, 1 rooms: no difference$/])

  await its.database.clear(HISTORY_RANGE.from, HISTORY_RANGE.to, 10_000)
  t.same(await its.history.page(ROOM, 1, 30), [])
  const lost = await its.parley('verify')
  t.equal(lost.code, 1)
  t.match(lost.lines, [
    `room ${ROOM} seq 1-21: missing: the log has it, the history does not`,
    /: 1 differences$/,
  ])
  const asJson = await its.parley('verify', '--json')
  t.equal(asJson.code, 1)
  const [difference, sums] = asJson.lines.map((line) => JSON.parse(line))
  t.match(difference, { room: ROOM, first: 1, last: 21, what: 'missing' })
  t.match(sums, { events: 21, rooms: 1, differences: 1 })

  const rebuilt = await its.parley('rebuild', 'history')
  t.match(rebuilt, { code: 0, notes: '' })
  t.match(rebuilt.lines.at(-1), 'rebuild 1 of history is done')
  t.equal((await its.history.page(ROOM, 1, 30)).length, 21)
  t.equal((await its.parley('verify')).code, 0)
})

t.test('pause, list, aside, resume', async (t) => {
  const its = await stage(t)
  await its.ann.text(BEN, 'text 1')
  await its.caughtUp()
  t.match(await its.parley('projection', 'pause', 'history'), { code: 0 })
  const before = await its.status()
  await its.ann.text(BEN, 'text 2')
  await eventually('it waits', async () => (await its.status()).some(({ lag }) => lag > 0), LONG)
  const aside = setAside(await its.outside.bucket('aside'), 'history', 1)
  const record = { position: 1, subject: 'log.1', data: Buffer.from('what is this') }
  await aside.put(record, 'no idea what that is')

  const listed = await its.parley('projection', 'list', '--json')
  const streams: StreamStatus[] = listed.lines.map((line) => JSON.parse(line))
  t.match(streams, [
    { projection: 'history', stream: 0, paused: true, setAside: 0, pid: process.pid },
    { projection: 'history', stream: 1, paused: true, setAside: 1, pid: process.pid },
  ])
  t.same(
    streams.map(({ position }) => position),
    before.map(({ position }) => position),
  )
  t.match((await its.parley('projection', 'list')).lines, [
    / stream 0: .*paused by /,
    / stream 1: /,
  ])
  t.match((await its.parley('projection', 'aside', 'history')).lines, [
    'stream 1 position 1 log.1 12 bytes: no idea what that is',
  ])
  const json = await its.parley('projection', 'aside', 'history', '--json')
  const { data } = JSON.parse(json.lines[0]!)
  t.equal(Buffer.from(data, 'base64').toString(), 'what is this')
  t.equal((await its.parley('verify')).code, 0, 'what is not stored yet is no difference')

  t.match(await its.parley('projection', 'resume', 'history'), { code: 0 })
  await its.caughtUp()
  t.same((await aside.list()).length, 1, 'tried again, and kept')
})

t.test('what can’t be done is said', async (t) => {
  const its = await stage(t)
  const unknown = await its.parley('projection', 'pause', 'herstory')
  t.match(unknown, { code: 1, notes: /There is no projection herstory; there are: history/ })
  await its.caughtUp()
  await its.stop()
  const nobody = await its.parley('verify')
  t.match(nobody, { code: 2, lines: [], notes: /Nobody follows log stream 0/ })
})
