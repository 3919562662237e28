import { connect } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { provision } from '../../nats/provision.ts'
import { shape } from '../../nats/shape.ts'
import { parseAppendReply } from '../bus/bus.ts'
import { toJson } from '../bus/cluster.ts'
import { connectNats } from '../bus/nats.ts'
import { checkpointKey, inboxFloorKey } from '../bus/positions.ts'
import { createLog } from '../log.ts'
import { inboxSubject, logSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { startNats } from '../testing/servers/nats.ts'
import { Trimmer } from './trim.ts'

const PARTITIONS = 4
const STREAMS = 2
const TRIM_MS = 10_000

type Given = { logBytes?: number; serves?: readonly number[] }

const stage = async (t: Test, { logBytes = 64 << 20, serves = [0, 1, 2, 3] }: Given = {}) => {
  const server = await startNats(t)
  const nc = await connect({ servers: server.url })
  await provision(nc, shape({ partitions: PARTITIONS, streams: STREAMS, limits: { logBytes } }))
  await nc.close()
  const nats = await connectNats({ servers: [server.url], name: 'test' })
  t.teardown(() => nats.close())
  const checkpoints = await nats.bucket('checkpoints')
  const cluster = await nats.bucket('cluster')
  let now = 0
  const lines: string[] = []
  const stale: number[] = []
  const last = new Map<number, number>()
  const trimmer = new Trimmer({
    nats,
    clock: { now: () => now, monotonic: () => now },
    log: createLog({
      level: 'debug',
      format: 'json',
      destination: { write: (line) => lines.push(line) },
    }),
    partitions: PARTITIONS,
    streams: STREAMS,
    lastOf: (p) => (serves.includes(p) ? (last.get(p) ?? 0) : undefined),
    onStale: (p) => stale.push(p),
  })
  t.teardown(() => trimmer.stop())
  const { prefix } = nats.inbox((rest, message) => answers.get(rest)?.(parseAppendReply(message)))
  const answers = new Map<string, (reply: ReturnType<typeof parseAppendReply>) => void>()
  let appends = 0
  const append = (subject: string, bytes = 10, expected?: number) =>
    new Promise<ReturnType<typeof parseAppendReply>>((resolve) => {
      const token = String(appends++)
      answers.set(token, resolve)
      nats.streams.append(subject, new Uint8Array(bytes), expected, `${prefix}.${token}`)
    })
  return {
    nats,
    server,
    trimmer,
    lines,
    stale,
    last,
    append,
    checkpoint: (p: number, position: number) =>
      checkpoints.put(checkpointKey(p), toJson(position)),
    inboxFloor: (p: number, position: number) =>
      checkpoints.put(inboxFloorKey(p), toJson(position)),
    floor: (name: string, k: number, position: number) =>
      checkpoints.put(`floor.${name}.${k}`, toJson(position)),
    register: (...names: string[]) => cluster.put('projections', toJson(names)),
    /** A look when trimming is due. */
    trim: async () => {
      now += TRIM_MS
      await trimmer.look()
    },
    look: () => trimmer.look(),
    first: async (stream: string) => (await nats.streams.state(stream)).firstSeq,
  }
}

t.test('L0 the log goes below what checkpoints, projections and partitions need', async (t) => {
  const its = await stage(t)
  for (let i = 0; i < 10; i++) await its.append(logSubject(i % 2 === 0 ? 0 : 2))
  await its.checkpoint(0, 9)
  await its.trim()
  t.equal(await its.first('LOG_0'), 1, 'the other partition has no checkpoint')
  await its.checkpoint(2, 8)
  await its.trim()
  t.equal(await its.first('LOG_0'), 1, 'history is not known to have stored anything')
  await its.floor('history', 0, 6)
  await its.trim()
  t.equal(await its.first('LOG_0'), 6, 'history')
  await its.floor('history', 0, 10)
  await its.register('history', 'search')
  await its.trim()
  t.equal(await its.first('LOG_0'), 6, 'a registered projection without floor counts as 0')
  await its.floor('search', 0, 10)
  await its.trim()
  t.equal(await its.first('LOG_0'), 8, 'the lower checkpoint')
  await its.checkpoint(2, 10)
  await its.trim()
  t.equal(await its.first('LOG_0'), 9, 'the last record of the other partition stays')
})

t.test('L0 the last sequence of a partition never falls', async (t) => {
  const its = await stage(t)
  await its.append(logSubject(0))
  for (let i = 0; i < 5; i++) await its.append(logSubject(2))
  for (const p of [0, 2]) await its.checkpoint(p, 6)
  await its.floor('history', 0, 6)
  await its.trim()
  t.match(await its.append(logSubject(0), 10, 0), { ok: false, code: 10071, last: 1 })
})

t.test('L0 nothing is trimmed before every partition has a record', async (t) => {
  const its = await stage(t)
  for (let i = 0; i < 5; i++) await its.append(logSubject(0))
  for (const p of [0, 2]) await its.checkpoint(p, 4)
  await its.floor('history', 0, 5)
  await its.trim()
  t.equal(await its.first('LOG_0'), 1)
  await its.append(logSubject(2))
  await its.trim()
  t.equal(await its.first('LOG_0'), 4)
})

t.test('L0 the inbox goes below every inbox floor', async (t) => {
  const its = await stage(t)
  for (let i = 0; i < 10; i++) await its.append(inboxSubject(1))
  await its.inboxFloor(1, 8)
  await its.trim()
  t.equal(await its.first('INBOX_1'), 1, 'the other partition has no floor')
  await its.inboxFloor(3, 5)
  await its.trim()
  t.equal(await its.first('INBOX_1'), 5)
  for (const p of [1, 3]) await its.inboxFloor(p, 5000)
  await its.trim()
  t.equal(await its.first('INBOX_1'), 5, 'floors of another stream are not believed')
  t.ok(its.lines.some((line) => line.includes('trim.beyond_end')))
})

t.test('L0 the owner of the lowest partition trims, every 10 s', async (t) => {
  const its = await stage(t, { serves: [0, 3] })
  for (const p of [1, 1, 3, 0, 0, 2]) await its.append(logSubject(p))
  for (const p of [0, 1, 2, 3]) await its.checkpoint(p, 2)
  for (const k of [0, 1]) await its.floor('history', k, 9)
  await its.trim()
  t.equal(await its.first('LOG_0'), 2)
  t.equal(await its.first('LOG_1'), 1, 'whose lowest partition is elsewhere')
  for (const p of [0, 2]) await its.checkpoint(p, 3)
  await its.look()
  t.equal(await its.first('LOG_0'), 2, 'not yet')
  await its.trim()
  t.equal(await its.first('LOG_0'), 2, 'partition 0 ends there')
  await its.append(logSubject(0))
  await its.trim()
  t.equal(await its.first('LOG_0'), 3)
})

t.test('L0 a partition far behind is told to tick; how full the log is, is known', async (t) => {
  const its = await stage(t, { logBytes: 200_000, serves: [0, 2] })
  t.equal(its.trimmer.logFill(), 0)
  await its.append(logSubject(2))
  for (let i = 0; i < 20; i++) await its.append(logSubject(0), 1000)
  its.last.set(0, 21).set(2, 1)
  await its.look()
  t.same(its.stale, [2])
  t.ok(its.trimmer.logFill(2) > 0.2 && its.trimmer.logFill(2) < 0.3)
  t.equal(its.trimmer.logFill(), its.trimmer.logFill(0))
  t.equal(its.trimmer.logFill(1), 0, 'a stream in which nothing is served here')
  t.equal(its.trimmer.inboxFill(0), 0)
})

t.test('L0 a log past 80 % is trimmed at every look', async (t) => {
  const its = await stage(t, { logBytes: 20_000, serves: [0] })
  await its.append(logSubject(2))
  for (let i = 0; i < 8; i++) await its.append(logSubject(0), 1000)
  await its.trim()
  t.ok(its.trimmer.logFill(0) > 0.8)
  await its.append(logSubject(2))
  for (const p of [0, 2]) await its.checkpoint(p, 9)
  await its.floor('history', 0, 9)
  await its.look()
  t.equal(await its.first('LOG_0'), 9)
  await its.look()
  t.ok(its.trimmer.logFill(0) < 0.8)
})

t.test('L0 a full log (10077): room is made in other partitions', async (t) => {
  const its = await stage(t, { logBytes: 20_000 })
  await its.append(logSubject(0))
  for (let i = 0; i < 8; i++) await its.append(logSubject(2), 1000)
  await its.floor('history', 0, 9)
  const full = await its.append(logSubject(0), 2000, 1)
  t.match(full, { ok: false, code: 10077 })
  t.equal(await its.trimmer.makeRoom(0), false, 'nobody has stored anything')
  t.ok(its.lines.some((line) => line.includes('trim.log_full')))
  await its.checkpoint(2, 8)
  t.same(await Promise.all([its.trimmer.makeRoom(0), its.trimmer.makeRoom(0)]), [true, true])
  t.match(await its.append(logSubject(0), 2000, 1), { ok: true })
  t.match(
    await its.append(logSubject(2), 10, 0),
    { ok: false, code: 10071, last: 9 },
    'the last record of the other one has stayed',
  )
})

t.test('failures are logged, and it goes on', async (t) => {
  const its = await stage(t)
  for (const p of [0, 2, 0]) await its.append(logSubject(p))
  await its.nats.bucket('checkpoints').then((bucket) => bucket.put('log.0', toJson('what')))
  await its.checkpoint(2, 2)
  await its.floor('history', 0, 3)
  its.trimmer.start()
  await eventually('it has looked', () => its.trimmer.logFill(0) > 0)
  t.equal(await its.first('LOG_0'), 1, 'what is no position counts as none')
  await its.server.kill()
  await eventually('it has failed', () => its.lines.some((line) => line.includes('trim.failed')), {
    within: 20_000,
  })
  await its.server.start()
  // What is asked before the connection is back only fails after 5 s.
  await eventually('the connection is back', () => its.nats.connected, { within: 20_000 })
  await its.checkpoint(0, 2)
  await eventually(
    'it has trimmed',
    async () => {
      await its.trim()
      return (await its.first('LOG_0')) === 2
    },
    { within: 20_000 },
  )
})
