import t from 'tap'
import { createRoomBehavior } from '../../actors/room/room.ts'
import { ANN, BEN, commands, GROUP } from '../../actors/room/scene.ts'
import { ParleyError } from '../errors.ts'
import type { RoomId, UserId } from '../ids.ts'
import { readFrame } from '../protocol/codec.ts'
import { writeEvent } from '../protocol/hot.ts'
import { Reader } from '../protocol/reader.ts'
import { type EventRecord, encodeBatch } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import type { HistoryRow } from '../store/history/history.ts'
import { partitionStage } from '../testing/partition-stage.ts'
import { pageFrame, readPage } from './pages.ts'
import { RoomActor } from './room-actor.ts'

const record = (seq: number, bytes = 4, room: RoomId = GROUP): EventRecord => ({
  kind: 'event',
  room,
  seq,
  ord: seq,
  id: BigInt(seq),
  time: 1000 + seq,
  sender: 'uann' as UserId,
  type: 1,
  body: new Writer().array(1).str('x'.repeat(bytes)).take(),
  lineage: 1,
  n: seq,
  low: 1,
  hash: 1,
})
const frame = (seq: number, bytes = 4) => writeEvent(new Writer(), record(seq, bytes)).take()
const range = (first: number, last: number) =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i)

type Given = {
  /** Sequences in memory: dense. */
  tail?: readonly number[]
  /** Of those, the ones whose bytes memory lacks. */
  dropped?: readonly number[]
  /** Sequences in the store. */
  stored?: readonly number[]
  /** Sequences in the log, two to a batch at position 100 + seq. */
  logged?: readonly number[]
  /** The floor; `undefined` when it can not be asked for. */
  kept?: number | undefined
}

const pagesOf = (given: Given) => {
  const { tail = [], dropped = [], stored = [], logged = [] } = given
  const kept = 'kept' in given ? given.kept : 1
  const room = new RoomActor<object>(GROUP, {})
  room.tail = tail.map((seq) => ({
    seq,
    frame: dropped.includes(seq) ? undefined : frame(seq),
    position: 100 + seq,
  }))
  const asked: [number, number][] = []
  const page = async (
    first: number,
    last: number,
    { from = 1, head = last, back = false }: { from?: number; head?: number; back?: boolean } = {},
  ) => {
    const read = await readPage(room, { first, last, from, head }, back, {
      history: {
        page: async (_room: RoomId, first: number, last: number): Promise<HistoryRow[]> => {
          asked.push([first, last])
          return stored
            .filter((seq) => seq >= first && seq <= last)
            .map((seq) => ({ room: GROUP, seq, frame: frame(seq) }))
        },
        kept: async () => {
          if (kept === undefined) throw new ParleyError('unavailable')
          return kept
        },
      },
      record: async (position) =>
        logged.includes(position - 100)
          ? encodeBatch({
              epoch: 1,
              number: 1,
              prev: 0,
              view: 1,
              records: [
                record(position - 50, 1, 'gAnotherRoom_________' as RoomId),
                record(position - 100),
              ],
            })
          : undefined,
    })
    const entries = read.events.map((bytes) => {
      const entry = readFrame(new Reader(bytes))
      if (entry.name === 'skip') return `${entry.first}-${entry.last}`
      return entry.name === 'event' ? entry.seq : 0
    })
    return { entries, from: read.from }
  }
  return {
    room,
    asked,
    page,
    read: async (first: number, last: number) => (await page(first, last)).entries,
  }
}

t.test('O6 a page is dense, from memory and the store', async (t) => {
  const both = pagesOf({ tail: range(11, 20), stored: range(1, 15) })
  t.same(await both.read(5, 18), range(5, 18))
  t.same(both.asked, [[5, 10]], 'the store is asked for what memory lacks')
  t.same(await both.read(11, 20), range(11, 20))
  t.equal(both.asked.length, 1, 'what memory has costs no read')
  t.same(await pagesOf({ stored: range(1, 9) }).read(3, 9), range(3, 9))
})

t.test('O6 a page with a hole is an error for now, wherever the hole is', async (t) => {
  const unavailable = { name: 'ParleyError', code: 'unavailable', canRetry: true }
  const holes: Record<string, [Given, number, number]> = {
    'in the store': [{ stored: [1, 2, 4] }, 1, 4],
    'one is there twice': [{ stored: [1, 2, 2] }, 1, 3],
    'at its beginning': [{ stored: [2, 3] }, 1, 3],
    'at its end': [{ stored: [1, 2] }, 1, 3],
    'between store and memory': [{ stored: [1, 2], tail: [4, 5] }, 1, 5],
    'past memory': [{ tail: [4, 5] }, 4, 6],
    everywhere: [{}, 1, 2],
    'bytes that memory lacks are not in the log': [{ tail: [1, 2], dropped: [2] }, 1, 2],
  }
  for (const [what, [given, first, last]] of Object.entries(holes)) {
    await t.rejects(pagesOf(given).read(first, last), unavailable, what)
  }
})

t.test('O6 bytes that memory let go are read from the log', async (t) => {
  const pages = pagesOf({ tail: range(1, 5), dropped: [2, 4], logged: [2, 4] })
  t.same(await pages.read(1, 5), range(1, 5))
})

t.test('what memory lets go while the store is read is still there for the page', async (t) => {
  const { promise, resolve } = Promise.withResolvers<HistoryRow[]>()
  const room = new RoomActor<object>(GROUP, {})
  room.tail = range(11, 200).map((seq) => ({ seq, frame: frame(seq), position: seq }))
  const source = {
    history: { page: () => promise, kept: async () => 1 },
    record: async () => undefined,
  }
  const reading = readPage(room, { first: 10, last: 20, from: 1, head: 200 }, false, source)
  room.trim(200)
  t.ok(room.tail[0]!.seq > 20)
  resolve([{ room: GROUP, seq: 10, frame: frame(10) }])
  t.equal((await reading).events.length, 11)
})

t.test('O6 a page that goes up says what is gone by a skip, and goes on above it', async (t) => {
  const pages = pagesOf({ kept: 8, stored: range(8, 12), tail: range(13, 20) })
  const up = (first: number, last: number, more = {}) =>
    pages.page(first, last, { head: 20, ...more })
  t.same(await up(1, 10), { entries: ['1-7', 8, 9, 10], from: 8 })
  t.same(await up(5, 20), { entries: ['5-7', ...range(8, 20)], from: 8 }, 'into memory')
  t.same(await up(7, 7), { entries: ['7-7'], from: 8 }, 'all that was asked for is gone')
  t.same(await up(2, 4), { entries: ['2-7'], from: 8 }, 'one page for all that is gone')
  t.same(await up(8, 9), { entries: [8, 9], from: 8 }, 'above the floor nothing is skipped')
  t.same(await up(3, 10, { from: 3 }), { entries: ['3-7', 8, 9, 10], from: 8 })
  t.same(await up(9, 10, { from: 9 }), { entries: [9, 10], from: 9 }, 'seen from above the floor')
})

t.test('O6 a page that goes down ends at the floor, below it it is empty', async (t) => {
  const pages = pagesOf({ kept: 8, stored: range(8, 12), tail: range(13, 20) })
  const down = (first: number, last: number) => pages.page(first, last, { head: 20, back: true })
  t.same(await down(5, 20), { entries: range(8, 20), from: 8 })
  t.same(await down(1, 10), { entries: [8, 9, 10], from: 8 })
  t.same(await down(1, 7), { entries: [], from: 8 })
})

t.test('O6 a floor is no excuse for a hole above it', async (t) => {
  const holes: Record<string, [Given, number, number]> = {
    'right above the floor': [{ kept: 3, stored: [4, 5] }, 1, 5],
    'further up': [{ kept: 3, stored: [3, 5] }, 1, 5],
    'at the end': [{ kept: 3, stored: [3, 4] }, 1, 5],
    'between store and memory': [{ kept: 3, stored: [3], tail: [5, 6] }, 1, 6],
  }
  for (const [what, [given, first, last]] of Object.entries(holes)) {
    for (const back of [false, true]) {
      const page = pagesOf(given).page(first, last, { back })
      await t.rejects(page, { code: 'unavailable', canRetry: true }, what)
    }
  }
})

t.test('a floor that rose while the rows were read, and one that is within memory', async (t) => {
  const late = pagesOf({ kept: 5, stored: range(3, 10) })
  t.same(await late.page(1, 10), { entries: ['1-4', ...range(5, 10)], from: 5 })
  const inside = pagesOf({ kept: 15, tail: range(11, 20) })
  t.same(await inside.page(12, 20), { entries: ['12-14', ...range(15, 20)], from: 15 })
  t.same(await inside.page(5, 20, { back: true }), { entries: range(15, 20), from: 15 })
  const all = pagesOf({ kept: 21, tail: range(11, 20) })
  t.same(await all.page(5, 20), { entries: ['5-20'], from: 21 }, 'everything is gone')
  t.same(
    await all.page(5, 15, { head: 15 }),
    { entries: ['5-15'], from: 16 },
    'never past the head',
  )
})

t.test('the floor out of reach: what memory holds is read, no more', async (t) => {
  const pages = pagesOf({ kept: undefined, stored: range(1, 10), tail: range(11, 20) })
  t.same(await pages.read(11, 20), range(11, 20))
  await t.rejects(pages.read(10, 20), { code: 'unavailable', canRetry: true })
})

t.test('O6 nothing above the committed head leaves in a page', async (t) => {
  const it = partitionStage(createRoomBehavior())
  const its = commands(GROUP)
  it.ask(ANN, GROUP, its.create({ n: 1 }, [BEN]))
  await new Promise(setImmediate)
  it.settle()
  it.ask(ANN, GROUP, its.send({ n: 2 }, 'undecided'))
  it.turn()
  const page = it.ask(BEN, GROUP, its.fetch(1, 10))
  t.ok(page.nothing)
  it.ack()
  await new Promise(setImmediate)
  const [got] = page.finals
  t.match(got, { name: 'page', head: 2 })
  if (got?.name === 'page') t.equal(got.events.length, 2)
})

t.test('an empty page asks nobody; a store out of reach is an error for now', async (t) => {
  const it = partitionStage(createRoomBehavior(), {
    history: async () => {
      throw new ParleyError('overloaded')
    },
  })
  const its = commands(GROUP)
  it.ask(ANN, GROUP, its.create({ n: 1 }, [BEN]))
  await new Promise(setImmediate)
  it.settle()
  const empty = it.ask(BEN, GROUP, its.fetch(5, 10))
  await new Promise(setImmediate)
  t.match(empty.finals, [{ name: 'page', head: 1, events: [] }])
  it.on.historyFloor = 1_000_000
  for (let n = 2; n < 200; n++) {
    it.ask(ANN, GROUP, its.send({ n }, `${n}`))
    it.settle()
  }
  const page = it.ask(BEN, GROUP, its.fetch(1, 10))
  await new Promise(setImmediate)
  t.match([page.finals, page.laters], [[], [{ name: 'error', temporary: true }]])
})

t.test('a page is cut at its weight, at the far end of the reading direction', async (t) => {
  const events = range(1, 10).map((seq) => frame(seq, 10_000))
  const seqsOf = (back: boolean, given = events) => {
    const page = readFrame(new Reader(pageFrame(7, GROUP, { head: 10, from: 1 }, given, back)))
    if (page.name !== 'page') throw new Error('no page')
    t.match(page, { req: 7, room: GROUP, head: 10, first: 1 })
    return page.events.map((bytes) => {
      const event = readFrame(new Reader(bytes as unknown as Uint8Array))
      return event.name === 'event' ? event.seq : 0
    })
  }
  t.same(seqsOf(false), [1, 2, 3, 4])
  t.same(seqsOf(true), [7, 8, 9, 10])
  t.same(seqsOf(false, [frame(1, 60_000), frame(2)]), [1], 'one at least')
  t.same(seqsOf(true, [frame(1), frame(2, 60_000)]), [2], 'one at least')
  t.same(seqsOf(false, []), [])
})
