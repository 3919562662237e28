/** Three nodes with a copy of everything on each: what the loss of one, and of two, costs. */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { parseRoomId } from '../../ids.ts'
import { eventually } from '../../testing/eventually.ts'
import { skipWithout } from '../../testing/servers/availability.ts'
import { findCassandra, startCassandra } from '../../testing/servers/cassandra.ts'
import { cqlOptions } from '../../testing/servers/cql.ts'
import { openCql } from './open.ts'

t.setTimeout(400_000)

const rooms = Array.from({ length: 6 }, (_, n) => parseRoomId(`gcluster-room-${n}`)!)
const PER_ROOM = 5
const frame = (room: string, seq: number) => new TextEncoder().encode(`${room} ${seq}`)

const skip = await skipWithout('Cassandra', () => findCassandra(console.error))

t.test('three nodes, three copies', { skip }, async (t) => {
  const cluster = await startCassandra(t, { nodes: 3, commitLog: 'batch' })
  const options = cqlOptions(cluster, 'parley')
  const each = cluster.contactPoints.map((address) =>
    openCql({ ...options, contactPoints: [address] }),
  )
  const [stores, ...others] = await Promise.all(each) // migrates on all three at once
  t.teardown(() => Promise.all([stores!, ...others].map((store) => store.close())))
  const { history } = stores!

  let round = 0
  let pages = 0
  let writing = true
  const problems: unknown[] = []
  const append = async (n: number): Promise<void> => {
    const seqs = Array.from({ length: PER_ROOM }, (_, i) => (n - 1) * PER_ROOM + i + 1)
    const rows = rooms.flatMap((room) =>
      seqs.map((seq) => ({ room, seq, frame: frame(room, seq) })),
    )
    await history.append(rows, 0, n)
    round = n
  }
  const write = async (): Promise<void> => {
    while (writing) await append(round + 1).catch((error) => problems.push(error))
  }
  const isWhole = async (n: number, last: number, store = history): Promise<boolean> => {
    const room = rooms[n % rooms.length]!
    const first = Math.max(1, last - 49)
    const page = await store.page(room, first, last)
    return (
      page.length === last - first + 1 &&
      page.every(({ seq, frame: found }) => Buffer.compare(found, frame(room, seq)) === 0)
    )
  }
  const read = async (): Promise<void> => {
    while (writing) {
      const last = round * PER_ROOM
      try {
        if (last > 0 && !(await isWhole(pages, last))) problems.push(`not whole up to ${last}`)
      } catch (error) {
        problems.push(error)
      }
      pages++
      await delay(2)
    }
  }
  const load = [write(), read(), read()]

  await eventually('it is under way', () => round >= 30 && pages >= 30, { within: 30_000 })
  // The lowest address: the seed, and where the driver's control connection may be.
  await cluster.nodes[0]!.kill()
  const [killedAt, pagesAt] = [round, pages]
  await eventually('it goes on', () => round > killedAt + 60 && pages > pagesAt + 60, {
    within: 60_000,
  })
  writing = false
  await Promise.all(load)
  t.same(problems, [], 'one node less: no error')

  await cluster.nodes[1]!.kill()
  const late = delay(8000, 'late', { ref: false })
  const calls = [
    history.page(rooms[0]!, 1, 5),
    history.append([], 0, round + 1),
    stores!.state.room(rooms[0]!),
  ]
  const codes = calls.map((call) =>
    call.then(
      () => 'answered',
      ({ code }) => code,
    ),
  )
  for (const code of codes)
    t.equal(await Promise.race([code, late]), 'unavailable', 'two nodes less')

  await cluster.nodes[0]!.start() // the seed, which the other asks who is there
  await cluster.nodes[1]!.start()
  await eventually('it writes again', () => append(round + 1).then(() => true), { within: 60_000 })
  const all = Array.from({ length: round * PER_ROOM }, (_, n) => n + 1)
  for (const store of [history, others[0]!.history]) {
    for (const room of rooms) {
      const page = await eventually('it reads', () => store.page(room, 1, all.length), {
        within: 60_000,
      })
      t.same(
        page.map(({ seq }) => seq),
        all,
        `every event of ${room}`,
      )
    }
  }
  t.equal(await history.floor(0), round)
})
