import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseRoomId, parseUserId, type RoomId } from '../ids.ts'
import { createLog } from '../log.ts'
import { writeEvent } from '../protocol/hot.ts'
import { encodeBatch } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import type { HistoryRow, HistoryStore } from '../store/history/history.ts'
import { levelHistory } from '../store/level/level-history.ts'
import { openLevel } from '../store/level/open.ts'
import { eventually } from '../testing/eventually.ts'
import { TestClock } from '../testing/test-clock.ts'
import { historyProjection } from './history.ts'
import { away, MemoryBucket } from './memory.fixture.ts'
import { passRetention, RETENTION_KEY, type RetentionOptions, retention } from './retention.ts'

const DAY = 86_400_000
const sender = parseUserId('uann')!
const roomOf = (n: number): RoomId => parseRoomId(`groom-${String(n).padStart(4, '0')}`)!
const ROOM = roomOf(0)
const range = (first: number, last: number) =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, n) => first + n)

const fields = (room: RoomId, seq: number, time: number) => ({
  ...{ room, seq, ord: seq, id: BigInt(seq), time, sender, type: 1 },
  body: new Writer().array(1).str(`text ${seq}`).take(),
})
const row = (room: RoomId, seq: number, time: number): HistoryRow => ({
  room,
  seq,
  frame: writeEvent(new Writer(), fields(room, seq, time)).take(),
})

const scene = async (t: Test) => {
  const store = levelHistory(await openLevel(join(t.testdir(), 'data')))
  t.teardown(() => store.close())
  const clock = new TestClock()
  const checkpoints = new MemoryBucket()
  const lines: string[] = []
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  let counted = 0
  /** Of `drop`, in order. */
  const drops: [RoomId, number][] = []
  const history: HistoryStore = {
    ...store,
    drop: async (room, below) => {
      drops.push([room, below])
      await store.drop(room, below)
    },
  }
  const options: RetentionOptions = {
    history,
    checkpoints,
    keepMs: 10 * DAY,
    clock,
    log: createLog({
      level: 'debug',
      format: 'json',
      destination: { write: (line) => lines.push(line) },
    }),
    dropped: { inc: (by = 1) => (counted += by) },
    everyMs: 5,
    retryMs: 5,
    pauseMs: 0,
  }
  const daysAgo = (days: number) => clock.now() - days * DAY
  let position = 0
  return {
    ...{ store, clock, checkpoints, options, lines, drops, stop, daysAgo },
    counted: () => counted,
    append: (rows: readonly HistoryRow[]) => store.append(rows, 0, ++position),
    pass: (more: Partial<RetentionOptions> = {}) =>
      passRetention({ ...options, ...more }, stop.signal),
    seqs: async (room = ROOM) => (await store.page(room, 1, 1_000_000)).map(({ seq }) => seq),
  }
}

t.test('what is older goes, what is not stays, to the event and the millisecond', async (t) => {
  const it = await scene(t)
  const limit = it.daysAgo(10)
  const ages: Record<string, [(n: number) => number, number]> = {
    'all older': [() => limit - 1, 301],
    'none older': [() => limit, 1],
    'one older': [(n) => (n === 1 ? limit - 1 : limit), 2],
    'one younger': [(n) => (n === 300 ? limit : limit - 1), 300],
    'in the middle': [(n) => limit - 100 + n, 100],
    'at the end of a row': [(n) => (n <= 64 ? limit - 1 : limit), 65],
    'after it': [(n) => (n <= 65 ? limit - 1 : limit), 66],
  }
  const rooms = Object.entries(ages).map(([what, [time, floor]], n) => ({
    ...{ what, time, floor },
    room: roomOf(n),
  }))
  for (const { room, time } of rooms) {
    for (let first = 1; first <= 300; first += 75) {
      await it.append(range(first, first + 74).map((seq) => row(room, seq, time(seq))))
    }
  }
  const gone = rooms.reduce((sum, { floor }) => sum + floor - 1, 0)
  t.same(await it.pass(), { rooms: rooms.length, dropped: gone, whole: true })
  for (const { what, room, floor } of rooms) {
    t.equal(await it.store.kept(room), floor, what)
    t.same(await it.seqs(room), range(floor, 300), what)
  }
  t.equal(it.counted(), gone)
  const { length } = it.drops
  t.same(await it.pass(), { rooms: rooms.length - 1, dropped: 0, whole: true })
  t.equal(it.drops.length, length, 'a room with nothing old costs no write')
})

t.test('a floor follows the time, and rows that are missing do not stop it', async (t) => {
  const it = await scene(t)
  const there = range(1, 500).filter((seq) => seq % 7 !== 0 && !(seq > 100 && seq < 290))
  const from = it.daysAgo(10)
  await it.append(there.map((seq) => row(ROOM, seq, from + seq)))
  for (const ms of [0, 50, 49, 90, 101, 15, 3, 191, 2]) {
    it.clock.pass(ms)
    await it.pass()
    const young = there.filter((seq) => from + seq >= it.daysAgo(10))
    t.same(await it.seqs(), young)
    t.ok((await it.store.kept(ROOM)) <= (young[0] ?? 501))
  }
  t.equal(await it.store.kept(ROOM), 501)
})

t.test('a projection that repeats old records brings nothing back', async (t) => {
  const it = await scene(t)
  const projection = historyProjection(it.store)
  const numbered = { lineage: 1, n: 1, low: 1, hash: 1 }
  const record = (seqs: number[], time: number) => ({
    position: seqs[0]!,
    subject: 'log.0',
    data: encodeBatch({
      ...{ epoch: 1, number: 1, prev: 0, view: 1 },
      records: seqs.map((seq) => ({
        kind: 'event' as const,
        ...numbered,
        ...fields(ROOM, seq, time),
      })),
    }),
  })
  const old = record(range(1, 40), it.daysAgo(30))
  const both = [old, record(range(41, 80), it.daysAgo(1))]
  for (const one of both) await projection.write(projection.read(one), 0, one.position)
  await it.pass()
  t.same(await it.seqs(), range(41, 80))
  await projection.write(projection.read(old), 0, 0) // as after a rebuild, or records that were set aside
  t.same(await it.seqs(), range(41, 80), 'it can not be read')
  await it.pass()
  t.same(await it.store.spans(undefined, 1), [{ room: ROOM, first: 41, last: 80 }], 'and is gone')
})

t.test('a longer retention does not bring back, a shorter one drops more', async (t) => {
  const it = await scene(t)
  await it.append(range(1, 30).map((seq) => row(ROOM, seq, it.daysAgo(31 - seq))))
  await it.pass()
  t.same(await it.seqs(), range(21, 30))
  await it.pass({ keepMs: 100 * DAY })
  t.equal(await it.store.kept(ROOM), 21)
  await it.pass({ keepMs: 5 * DAY })
  t.same(await it.seqs(), range(26, 30))
})

t.test('a pass that is cut off goes on where it was, in another process too', async (t) => {
  const it = await scene(t)
  const rooms = range(0, 349).map(roomOf)
  await it.append(rooms.flatMap((room) => [row(room, 1, 0), row(room, 2, it.daysAgo(1))]))
  const stop = new AbortController()
  let count = 0
  const history: HistoryStore = {
    ...it.store,
    drop: async (room, below) => {
      await it.store.drop(room, below)
      if (++count === 130) stop.abort()
    },
  }
  const first = await passRetention({ ...it.options, history }, stop.signal)
  t.same(first, { rooms: 130, dropped: 130, whole: false })
  t.match(it.checkpoints.json(RETENTION_KEY), { after: rooms[99] })
  const second = await it.pass()
  t.same(
    second,
    { rooms: 250, dropped: 220, whole: true },
    'the rest, and the portion that was cut',
  )
  for (const room of rooms) t.equal(await it.store.kept(room), 2)
  t.match(it.checkpoints.json(RETENTION_KEY), { after: null, ended: it.clock.now() })
})

t.test('a store or KV that fails ends the pass, not what was done', async (t) => {
  const it = await scene(t)
  const rooms = range(0, 149).map(roomOf)
  await it.append(rooms.flatMap((room) => [row(room, 1, 0), row(room, 2, it.daysAgo(1))]))
  let count = 0
  const failing: HistoryStore = {
    ...it.store,
    drop: async (room, below) => {
      if (++count === 120) throw away('the disk is full')
      await it.store.drop(room, below)
    },
  }
  await t.rejects(it.pass({ history: failing }), { code: 'unavailable' })
  it.checkpoints.down = true
  await t.rejects(it.pass(), { code: 'unavailable' })
  it.checkpoints.down = false
  t.same(await it.pass(), { rooms: 50, dropped: 31, whole: true })
})

t.test('of two at one store one yields', async (t) => {
  const it = await scene(t)
  const rooms = range(0, 149).map(roomOf)
  await it.append(rooms.flatMap((room) => [row(room, 1, 0), row(room, 2, it.daysAgo(1))]))
  let between = true
  it.checkpoints.beforeCas = () => {
    if (!between) return
    between = false
    void it.checkpoints.put(
      RETENTION_KEY,
      Buffer.from(JSON.stringify({ after: rooms[20], ended: 0 })),
    )
  }
  t.same(await it.pass(), { rooms: 100, dropped: 100, whole: false })
  t.match(it.checkpoints.json(RETENTION_KEY), { after: rooms[20] }, 'the other one is right')
})

t.test('a room with an event that can not be read is left alone, and told of', async (t) => {
  const it = await scene(t)
  await it.append([{ room: ROOM, seq: 1, frame: Uint8Array.of(0xc1) }, row(ROOM, 2, 0)])
  await it.append([row(roomOf(1), 1, 0)])
  t.same(await it.pass(), { rooms: 2, dropped: 1, whole: true })
  t.same(await it.seqs(), [1, 2])
  t.ok(it.lines.some((line) => line.includes('retention.unreadable')))
})

t.test('a large room is dropped in steps, each of which may be the last', async (t) => {
  const it = await scene(t)
  for (let first = 1; first <= 120_000; first += 10_000) {
    await it.append(range(first, first + 9999).map((seq) => row(ROOM, seq, seq)))
  }
  await it.pass()
  t.same(
    it.drops.map(([, below]) => below),
    [50_001, 100_001, 120_001],
  )
  t.same(await it.store.spans(undefined, 1), [])
})

t.test('the service passes again and again, over failures, until it is drained', async (t) => {
  const it = await scene(t)
  await it.append([row(ROOM, 1, it.daysAgo(11)), row(ROOM, 2, it.daysAgo(9))])
  let failures = 2
  const history: HistoryStore = {
    ...it.store,
    spans: async (after, limit) => {
      if (failures-- > 0) throw away('not yet')
      return it.store.spans(after, limit)
    },
  }
  const service = retention({ ...it.options, history })
  await service.start(new AbortController().signal)
  try {
    const logged = (event: string) => it.lines.filter((line) => line.includes(event)).length
    await eventually('a pass', () => logged('retention.passed') === 1)
    t.equal(await it.store.kept(ROOM), 2)
    t.equal(logged('retention.failed'), 2)
    it.clock.pass(2 * DAY)
    await eventually('another', () => logged('retention.passed') === 2)
    t.equal(await it.store.kept(ROOM), 3)
  } finally {
    await service.drain(it.clock.monotonic() + 1000)
  }
})

t.test('the next pass is due when it is due, whatever was restarted since', async (t) => {
  const it = await scene(t)
  await it.append([row(ROOM, 1, 0)])
  await it.pass()
  await it.append([row(ROOM, 2, 0)])
  let looks = 0
  const history: HistoryStore = {
    ...it.store,
    spans: async (...given) => {
      looks++
      return it.store.spans(...given)
    },
  }
  const asked = Promise.withResolvers<void>()
  const checkpoints: MemoryBucket = Object.assign(Object.create(it.checkpoints), {
    get: async (key: string) => {
      asked.resolve()
      return it.checkpoints.get(key)
    },
  })
  const options = { ...it.options, history, checkpoints, everyMs: 3_600_000 }
  const service = retention(options)
  await service.start(new AbortController().signal)
  await asked.promise
  await new Promise(setImmediate)
  await service.drain(it.clock.monotonic() + 1000)
  t.equal(looks, 0)
  it.clock.pass(3_600_000)
  const later = retention(options)
  await later.start(new AbortController().signal)
  await eventually('it looks', () => looks > 0)
  await later.drain(it.clock.monotonic() + 1000)
})
