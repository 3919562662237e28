/**
 * µs of CPU that the embedded history takes of one message, from the bytes of a log record to a synced row, LevelDB's
 * threads and its compaction included: rows of consecutive events (chunks.ts) beside a row for each event, which lost.
 * And of a pointer in the state store, where remembering positions instead of reading them lost: without a bound it
 * saves a fifth, most of it on LevelDB's threads; an LRU of 65,536 saved nothing where it hit and cost a fifth more
 * where it did not.
 * Not measured: delivery by JetStream, waiting for the disk, histories of many gigabytes (more levels, more compaction).
 *
 *   node bench/micro/history.ts [--json]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { newGroupId, newUserId, type RoomId } from '../../lib/ids.ts'
import { historyProjection } from '../../lib/projections/history.ts'
import { encodeBatch, type LogRecord } from '../../lib/protocol/records.ts'
import { Writer } from '../../lib/protocol/writer.ts'
import type { HistoryStore } from '../../lib/store/history/history.ts'
import type { Write } from '../../lib/store/level/committer.ts'
import { floorKey, historyKey, stamped, userKey } from '../../lib/store/level/keys.ts'
import { levelHistory } from '../../lib/store/level/level-history.ts'
import { levelState } from '../../lib/store/level/level-state.ts'
import { type LevelDatabase, openLevel } from '../../lib/store/level/open.ts'
import type { StateStore } from '../../lib/store/state/state.ts'

/** Makes event frames of 256 bytes. */
const TEXT = 165
const NOTHING = new Uint8Array()
const RECORDS = 256
const PAGES = 2000
const PAGE = 50

const sender = newUserId()
const words = Array.from({ length: 2000 }, () => newGroupId().slice(1, 3 + 8 * Math.random()))
const text = (length: number): string => {
  let text = ''
  while (text.length < length) text += `${words[Math.floor(words.length * Math.random() ** 2)]} `
  return text.slice(0, length)
}

/** Numbers that take the same bytes from the first to the last, so that a record can be numbered anew in place. */
const FIRST = 1_000_000
const MARK = Buffer.from([0xce, 0x7f, 0xaa, 0x55, 0x7f])
const PLACEHOLDER = MARK.readUInt32BE(1)

type Prepared = { readonly room: RoomId; readonly data: Buffer; readonly seqs: readonly number[] }

const prepare = (room: RoomId, events: number): Prepared => {
  const records = Array.from(
    { length: events },
    (): LogRecord => ({
      kind: 'event',
      room,
      seq: PLACEHOLDER,
      ord: FIRST,
      id: BigInt(Math.floor(Number.MAX_SAFE_INTEGER * Math.random())),
      time: 1_790_000_000_000,
      sender,
      type: 1,
      body: new Writer().array(1).str(text(TEXT)).take(),
      lineage: 1_790_000_000_000,
      n: FIRST,
      low: FIRST,
      hash: 1,
    }),
  )
  const data = Buffer.from(encodeBatch({ epoch: 1, number: 1, prev: 1, view: 1, records }))
  const seqs: number[] = []
  for (let at = data.indexOf(MARK); at >= 0; at = data.indexOf(MARK, at + 1)) seqs.push(at + 1)
  if (seqs.length !== events) throw new Error('an event is not where it should be')
  return { room, data, seqs }
}

const rowEach = (database: LevelDatabase): HistoryStore => ({
  ...levelHistory(database),
  append: (rows, stream, position) => {
    const writes: Write[] = rows.map(({ room, seq, frame }) => ({
      type: 'put',
      key: historyKey(room, seq, 1),
      value: frame,
    }))
    writes.push({ type: 'raise', key: floorKey(stream), value: stamped(position, NOTHING) })
    return database.commit(writes)
  },
})

type Figure = { readonly us: number; readonly main: number; readonly page?: number }

const cpu = (usage: NodeJS.CpuUsage): number => usage.user + usage.system

/** Of `work`, which calls `aside` around what is not to be counted; per `times`. */
const measured = async (
  times: number,
  work: (aside: (prepare: () => void) => void) => Promise<void>,
): Promise<Figure> => {
  let uncounted = 0
  const aside = (prepare: () => void) => {
    const from = process.threadCpuUsage()
    prepare()
    uncounted += cpu(process.threadCpuUsage(from))
  }
  const all = process.cpuUsage()
  const main = process.threadCpuUsage()
  await work(aside)
  return {
    us: (cpu(process.cpuUsage(all)) - uncounted) / times,
    main: (cpu(process.threadCpuUsage(main)) - uncounted) / times,
  }
}

/** LevelDB compacts on after the last write; a page must not pay for that. */
const quiet = async (): Promise<void> => {
  for (let tries = 0; tries < 100; tries++) {
    const from = process.cpuUsage()
    await delay(200)
    if (cpu(process.cpuUsage(from)) < 10_000) return
  }
}

const inDirectory = async <T>(use: (directory: string) => Promise<T>): Promise<T> => {
  const directory = mkdtempSync(join(tmpdir(), 'parley-bench-'))
  try {
    return await use(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const history = (
  messages: number,
  rooms: number,
  events: number,
  open: (database: LevelDatabase) => HistoryStore,
): Promise<Figure> =>
  inDirectory(async (directory) => {
    const ids = Array.from({ length: rooms }, newGroupId)
    const pool = Array.from({ length: Math.max(rooms, RECORDS) }, (_, n) =>
      prepare(ids[n % rooms]!, events),
    )
    const heads = new Map(ids.map((id) => [id, FIRST]))
    const database = await openLevel(directory)
    const store = open(database)
    const projection = historyProjection(store)
    let position = 0
    const figure = await measured(messages, async (aside) => {
      for (let stored = 0; stored < messages; stored += RECORDS * events) {
        const part: Prepared[] = []
        aside(() => {
          for (let n = 0; n < RECORDS; n++) {
            const record = pool[(position + n) % pool.length]!
            let head = heads.get(record.room)!
            for (const at of record.seqs) record.data.writeUInt32BE(++head, at)
            heads.set(record.room, head)
            part.push(record)
          }
        })
        position += RECORDS
        const rows = part.flatMap(({ data }, n) =>
          projection.read({ position: position + n, subject: 'log.0', data }),
        )
        await projection.write(rows, 0, position)
      }
    })
    await quiet()
    const pages = await measured(PAGES, async () => {
      for (let n = 0; n < PAGES; n++) {
        const room = ids[n % rooms]!
        const size = Math.min(PAGE, heads.get(room)! - FIRST)
        const from = FIRST + 1 + Math.floor((heads.get(room)! - FIRST - size) * Math.random())
        const page = await store.page(room, from, from + size - 1)
        if (page.length !== size) throw new Error(`${page.length} of ${size} events`)
      }
    })
    await store.close()
    return { ...figure, page: pages.us }
  })

type SaveUsers = StateStore['saveUsers']
const readFirst = (database: LevelDatabase): SaveUsers => levelState(database).saveUsers
const remembered =
  (database: LevelDatabase): SaveUsers =>
  (rows) =>
    database.commit(
      rows.map(({ user, key, position, value }) => ({
        type: 'raise',
        key: userKey(user, key),
        value: stamped(position, value),
        remember: true,
      })),
    )

const pointers = (keys: number, way: typeof readFirst): Promise<Figure> =>
  inDirectory(async (directory) => {
    const database = await openLevel(directory)
    const close = database.hold()
    const saveUsers = way(database)
    const people = Array.from({ length: keys / 10 }, newUserId)
    const rooms = Array.from({ length: 10 }, newGroupId)
    const rows = people.flatMap((user) => rooms.map((key) => ({ user, key })))
    const value = Buffer.from(text(150))
    const times = 10 * keys
    const save = async (rounds: number, position: number) => {
      for (let round = 0; round < rounds; round++) {
        for (let at = 0; at < keys; at += 1000) {
          const part = rows.slice(at, at + 1000)
          await saveUsers(part.map((row) => ({ ...row, position: position + round, value })))
        }
      }
    }
    await save(1, 1)
    const figure = await measured(times, () => save(times / keys, 2))
    await close()
    return figure
  })

const figures: Record<string, () => Promise<Figure>> = {
  '50 rooms, 19 messages a record: runs': () => history(1_000_000, 50, 19, levelHistory),
  '50 rooms, 19 messages a record: row each': () => history(1_000_000, 50, 19, rowEach),
  '10,000 rooms, 1 message a record: runs': () => history(300_000, 10_000, 1, levelHistory),
  '10,000 rooms, 1 message a record: row each': () => history(300_000, 10_000, 1, rowEach),
  '30,000 pointers in turn: position read first': () => pointers(30_000, readFirst),
  '30,000 pointers in turn: position remembered': () => pointers(30_000, remembered),
}

const round = (us: number): number => Number(us.toFixed(2))
const found: Record<string, Figure> = {}
for (const [name, measure] of Object.entries(figures)) found[name] = await measure()

if (process.argv.includes('--json')) {
  const us = Object.fromEntries(
    Object.entries(found).map(([name, { us, main, page }]) => [
      name,
      { us: round(us), main: round(main), ...(page === undefined ? {} : { page: round(page) }) },
    ]),
  )
  console.log(JSON.stringify({ bench: 'history', node: process.version, us }))
} else {
  const wide = Math.max(...Object.keys(found).map((name) => name.length))
  console.log(`history: µs of CPU a message, of it on the main thread; µs of a page of ${PAGE}`)
  for (const [name, { us, main, page }] of Object.entries(found)) {
    const cells = [us, main, page].map((it) => (it === undefined ? '' : it.toFixed(2)).padStart(8))
    console.log(`  ${name.padEnd(wide)} ${cells.join(' ')}`)
  }
}
