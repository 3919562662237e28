/**
 * What the stores on CQL cost, on one Cassandra node of the tests (a small heap, quick to start: not tuned to serve): µs of
 * CPU a row in this process and in the server, and rows a second, of events that come one to a partition, and 8, 32 and 64
 * to a partition (batches of at most BATCH_ROWS); the same for pages of 50, for snapshots and for users' rows.
 * Not measured: several nodes and copies, a history that does not fit into memory, compaction under way.
 *
 *   node bench/micro/cql.ts [--json]
 */
import { readFileSync } from 'node:fs'
import { newGroupId, newUserId, type RoomId } from '../../lib/ids.ts'
import { openCql } from '../../lib/store/cql/open.ts'
import type { HistoryRow } from '../../lib/store/history/history.ts'
import { startCassandra } from '../../lib/testing/servers/cassandra.ts'
import { cqlOptions } from '../../lib/testing/servers/cql.ts'

const FRAME_BYTES = 256
const APPEND = 4096
/** Each figure is of so long, after as long to warm up. */
const MEASURE_MS = 4000
const TICKS_PER_S = 100
const PAGE = 50
const READERS = 32

await using server = await startCassandra()
const stores = await openCql(cqlOptions(server, 'bench'))
const { history, state } = stores

/** CPU of the server so far, µs. */
const serverCpu = (): number => {
  const fields = readFileSync(`/proc/${server.nodes[0]!.pid}/stat`, 'utf8')
    .split(') ')[1]!
    .split(' ')
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_S
}

type Figure = {
  what: string
  clientUs: number
  serverUs: number
  perSecond: number
  msEach: number
}
const figures: Figure[] = []

/** `step` does `size` of what is counted. */
const measure = async (what: string, size: number, step: () => Promise<unknown>): Promise<void> => {
  const until = performance.now() + MEASURE_MS
  while (performance.now() < until) await step()
  const [from, own, its] = [performance.now(), process.cpuUsage(), serverCpu()]
  let steps = 0
  while (performance.now() < from + MEASURE_MS) {
    await step()
    steps++
  }
  const ms = performance.now() - from
  const { user, system } = process.cpuUsage(own)
  const count = steps * size
  figures.push({
    what,
    clientUs: (user + system) / count,
    serverUs: (serverCpu() - its) / count,
    perSecond: (count * 1000) / ms,
    msEach: ms / steps,
  })
}

const frame = new Uint8Array(FRAME_BYTES).map(() => Math.floor(Math.random() * 256))
let position = 0
for (const perRoom of [1, 8, 32, 64]) {
  const heads = new Map<RoomId, number>()
  for (let n = 0; n < APPEND / perRoom; n++) heads.set(newGroupId(), 0)
  await measure(`events, ${perRoom} of a room at once`, APPEND, async () => {
    const rows: HistoryRow[] = []
    for (const [room, head] of heads) {
      for (let n = 1; n <= perRoom; n++) rows.push({ room, seq: head + n, frame })
      heads.set(room, head + perRoom)
    }
    await history.append(rows, 0, ++position)
  })
}

const rooms = Array.from({ length: 50 }, newGroupId)
const EVENTS = 3000
for (const room of rooms) {
  const rows = Array.from({ length: EVENTS }, (_, n) => ({ room, seq: n + 1, frame }))
  await history.append(rows, 0, ++position)
}
const page = async (): Promise<void> => {
  const first = 1 + Math.floor(Math.random() * (EVENTS - PAGE))
  const found = await history.page(rooms[first % rooms.length]!, first, first + PAGE - 1)
  if (found.length !== PAGE) throw new Error('a page is not whole')
}
await measure(`pages of ${PAGE}, one after another`, 1, page)
await measure(`pages of ${PAGE}, ${READERS} at once`, READERS, () =>
  Promise.all(Array.from({ length: READERS }, page)),
)

const snapshot = new Uint8Array(2000)
await measure('snapshots of rooms, 2 KB, 128 at once', 128, () => {
  position++
  return state.saveRooms(
    rooms
      .concat(rooms, rooms)
      .slice(0, 128)
      .map((room) => ({ room, position, state: snapshot })),
  )
})
const users = Array.from({ length: 100 }, newUserId)
await measure('rows of users, 200 B, 1000 at once', 1000, () => {
  position++
  const rows = users.flatMap((user) =>
    rooms.slice(0, 10).map((key) => ({ user, key, position, value: frame.subarray(0, 200) })),
  )
  return state.saveUsers(rows)
})
await stores.close()

if (process.argv.includes('--json')) console.log(JSON.stringify(figures))
else {
  console.log('µs of CPU each: client  server      a second   ms a step')
  for (const { what, clientUs, serverUs, perSecond, msEach } of figures) {
    const numbers = [clientUs, serverUs, perSecond].map((n) => n.toFixed(0).padStart(10))
    console.log(`${what.padEnd(40)}${numbers.join('')}${msEach.toFixed(1).padStart(10)}`)
  }
}
