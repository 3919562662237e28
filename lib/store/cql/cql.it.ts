/** All suites that need one node, one after the other on the same one: its start costs more than most of them. */
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parseRoomId, parseUserId, type RoomId } from '../../ids.ts'
import { eventually } from '../../testing/eventually.ts'
import { skipWithout } from '../../testing/servers/availability.ts'
import { findCassandra, startCassandra } from '../../testing/servers/cassandra.ts'
import { cqlOptions, cqlStage } from '../../testing/servers/cql.ts'
import { historyContract } from '../history/contract.ts'
import { stateContract } from '../state/contract.ts'
import { VALUE_BYTES } from './batches.ts'
import { closeClient, writingClient } from './driver.ts'
import { migrate } from './migrate.ts'
import { openCql } from './open.ts'
import { MIGRATIONS } from './schema.ts'

t.setTimeout(400_000)

const A: RoomId = parseRoomId('gaaaaaaaaaaaaaaaaaaaaa')!
const B: RoomId = parseRoomId('gbbbbbbbbbbbbbbbbbbbbb')!
const ANN = parseUserId('uann')!
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (frame: Uint8Array | undefined) => new TextDecoder().decode(frame)
const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, n) => first + n)
const row = (room: RoomId, seq: number, frame = bytes(`${room} ${seq}`)) => ({ room, seq, frame })

const HISTORY = ['messages', 'rooms', 'floors']
const STATE = ['room_states', 'user_rows', 'partitions']

const skip = await skipWithout('Cassandra', () => findCassandra(console.error))

t.test('on a real Cassandra', { skip }, async (t) => {
  const server = await startCassandra(t, { commitLog: 'batch' })
  const stage = cqlStage(server, 'parley')
  t.teardown(() => stage.close())
  const opened = async (t: Test, name: string) => {
    const stores = await stage.open(name)
    t.teardown(() => stores.close())
    return stores
  }

  await t.test('processes that migrate at once', async (t) => {
    const opening = range(1, 4).map(() => openCql(stage.options))
    for (const stores of opening) t.teardown(async () => (await stores).close())
    await Promise.all(opening)
    const recorded = await stage.query('SELECT version, name, digest FROM $.migrations')
    t.same(recorded.map(({ version }) => version).sort(), [1, 2])
    t.same(recorded.map(({ name }) => name).sort(), ['history', 'snapshots'])
  })

  await t.test('a later version adds its migrations, another house is refused', async (t) => {
    const client = writingClient(stage.options)
    t.teardown(() => closeClient(client))
    const extra = {
      version: 3,
      name: 'extra',
      statements: ['CREATE TABLE IF NOT EXISTS $.extra (k int PRIMARY KEY)'],
    }
    await migrate(client, stage.options, [...MIGRATIONS, extra])
    await migrate(client, stage.options, [...MIGRATIONS, extra])
    t.same(await stage.query('SELECT * FROM $.extra'), [])
    t.equal((await stage.query('SELECT version FROM $.migrations')).length, 3)
    await migrate(client, stage.options) // the version before goes on beside it
    const other = {
      version: 1,
      name: 'history',
      statements: ['CREATE TABLE IF NOT EXISTS $.other (k int PRIMARY KEY)'],
    }
    await t.rejects(migrate(client, stage.options, [other]), { code: 'internal' })
  })

  await t.test('a keyspace that is not there is only made when it is said how', async (t) => {
    const options = { ...cqlOptions(server, 'nowhere'), replication: new Map() }
    await t.rejects(openCql(options), { code: 'not_found', message: /cqlReplication/ })
    await t.rejects(openCql(cqlOptions(server, 'No;where')), { code: 'bad_request' })
  })

  await t.test('history', async (t) =>
    historyContract(t, async (name) => {
      const { history, close } = await stage.open(`history ${name}`, HISTORY)
      return { ...history, close }
    }),
  )

  await t.test('state', async (t) =>
    stateContract(t, async (name) => {
      const { state, close } = await stage.open(`state ${name}`, STATE)
      return { ...state, close }
    }),
  )

  await t.test('more at once than the server takes in one piece', async (t) => {
    const { history } = await opened(t, 'sizes')
    const rows = range(1, 120).map((seq) => row(A, seq, new Uint8Array(60_000).fill(seq)))
    await history.append(rows, 0, 1) // 7 MB of one partition
    const found = await history.page(A, 1, 120)
    t.same(
      found.map(({ seq }) => seq),
      range(1, 120),
    )
    t.ok(found.every(({ seq, frame }) => frame.length === 60_000 && frame[59_999] === seq))

    await history.append([row(B, 1, new Uint8Array(VALUE_BYTES))], 0, 2)
    t.equal((await history.page(B, 1, 1))[0]?.frame.length, VALUE_BYTES, 'the largest')
    const larger = [row(B, 2), row(B, 3, new Uint8Array(VALUE_BYTES + 1))]
    await t.rejects(history.append(larger, 0, 3), { code: 'too_large' })
    t.equal((await history.page(B, 1, 9)).length, 1, 'and nothing of that append is there')
    t.equal(await history.floor(0), 2)
  })

  await t.test('W4 a clock 90 s behind or ahead decides nothing', async (t) => {
    const now = Date.now
    t.teardown(() => {
      Date.now = now
    })
    const at = async <T>(seconds: number, run: () => Promise<T>): Promise<T> => {
      Date.now = () => now() + seconds * 1000
      try {
        return await run()
      } finally {
        Date.now = now
      }
    }
    // The driver stamps statements with its own clock, unless they say otherwise: each process has one.
    const ahead = await at(90, () => opened(t, 'skew'))
    const behind = await at(-90, () => opened(t, 'skew'))
    const snapshot = (position: number) => ({ room: A, position, state: bytes(`at ${position}`) })
    const entry = (position: number) => ({
      user: ANN,
      key: 'k',
      position,
      value: bytes(`at ${position}`),
    })

    await at(90, () => ahead.state.saveRooms([snapshot(5)]))
    await at(-90, () => behind.state.saveRooms([snapshot(6)]))
    t.equal((await ahead.state.room(A))?.position, 6, 'the newer one of a clock behind wins')
    await at(90, () => ahead.state.saveRooms([snapshot(4)]))
    t.equal(
      text((await behind.state.room(A))?.state),
      'at 6',
      'the older one of a clock ahead loses',
    )

    await at(90, () => ahead.state.saveUsers([entry(5)]))
    await at(-90, () => behind.state.dropUsers([entry(6)]))
    t.same(await ahead.state.user(ANN), [], 'and so for what is taken away')
    await at(-90, () => behind.state.saveUsers([entry(7)]))
    await at(90, () => ahead.state.dropUsers([entry(6)]))
    t.equal((await ahead.state.user(ANN))[0]?.position, 7)

    await at(90, () => ahead.history.append([], 3, 10))
    await at(-90, () => behind.history.append([], 3, 11))
    t.equal(await ahead.history.floor(3), 11)
    await at(90, () => ahead.history.drop(A, 10))
    await at(-90, () => behind.history.drop(A, 20))
    t.equal(await ahead.history.kept(A), 20)
  })

  await t.test('W4 an older event that is written after a newer one does not win', async (t) => {
    const { history } = await opened(t, 'order')
    await history.append([row(A, 7)], 0, 1)
    const write =
      'INSERT INTO $.messages (room, bucket, seq, frame) VALUES (?, ?, ?, ?) USING TIMESTAMP ?'
    await stage.query(write, [A, 0, 7, Buffer.from('edited by 9'), 9])
    await stage.query(write, [A, 0, 7, Buffer.from('edited by 8'), 8])
    await history.append([row(A, 7)], 0, 2) // a replay of the event itself
    t.equal(text((await history.page(A, 7, 7))[0]?.frame), 'edited by 9')
    await history.drop(A, 8)
    t.same(await history.page(A, 1, 9), [], 'dropped is dropped, whoever wrote it')
    t.same(await stage.query('SELECT seq FROM $.messages WHERE room = ? AND bucket = 0', [A]), [])
  })

  await t.test('rows without what they must have read as deleted', async (t) => {
    const { history, state } = await opened(t, 'lacking')
    await history.append([row(A, 1), row(A, 3)], 0, 1)
    await state.saveUsers([{ user: ANN, key: 'whole', position: 1, value: bytes('v') }])
    await stage.query('INSERT INTO $.messages (room, bucket, seq) VALUES (?, 0, 2)', [A])
    await stage.query("INSERT INTO $.user_rows (user, key, position) VALUES (?, 'half', 5)", [ANN])
    await stage.query('INSERT INTO $.room_states (room, position) VALUES (?, 5)', [A])
    await stage.query("INSERT INTO $.partitions (name, position) VALUES ('p', 5)")
    t.same(
      (await history.page(A, 1, 3)).map(({ seq }) => seq),
      [1, 3],
    )
    t.same(
      (await state.user(ANN)).map(({ key }) => key),
      ['whole'],
    )
    t.equal(await state.room(A), undefined)
    t.equal(await state.partition('p'), undefined)
  })

  await t.test('whole buckets go, and what a crash left is found again', async (t) => {
    const { history } = await opened(t, 'buckets')
    await history.append(
      range(1, 5000).map((seq) => row(A, seq)),
      0,
      1,
    )
    await history.append([row(B, 1)], 0, 2)
    const listed = async () =>
      (await stage.query('SELECT bucket FROM $.rooms WHERE room = ?', [A]))
        .filter(({ bucket }) => bucket !== null)
        .map(({ bucket }) => Number(bucket))
    t.same(await listed(), [0, 1, 2, 3, 4])
    // A crash after the floor was stored and one bucket taken, its entry not yet.
    await stage.query('UPDATE $.rooms USING TIMESTAMP 3000 SET kept = 3000 WHERE room = ?', [A])
    await stage.query(
      `DELETE FROM $.messages USING TIMESTAMP ${2 ** 50} WHERE room = ? AND bucket = 0`,
      [A],
    )
    const span = async () => (await history.spans(undefined, 9)).find(({ room }) => room === A)
    t.same(await span(), { room: A, first: 1024, last: 5000 }, 'there is something to do')
    t.equal((await history.page(A, 1, 5000))[0]?.seq, 3000, 'that nobody reads')
    await history.drop(A, 3000)
    t.same(await span(), { room: A, first: 3000, last: 5000 })
    t.same(await listed(), [2, 3, 4])
    await history.drop(A, 9000)
    t.equal(await span(), undefined)
    t.same(await listed(), [])
  })

  await t.test(
    'while the server hangs all is refused in time, and goes on by itself',
    async (t) => {
      const { history, state } = await opened(t, 'hanging')
      await history.append([row(A, 1)], 0, 1)
      server.nodes[0]!.pause()
      t.teardown(() => server.nodes[0]!.resume())
      const late = delay(8000, 'late', { ref: false })
      const calls = [
        history.page(A, 1, 1),
        history.append([row(A, 2)], 0, 2),
        history.floor(0),
        state.room(A),
        state.saveRooms([{ room: A, position: 1, state: bytes('s') }]),
      ]
      const codes = calls.map((call) =>
        call.then(
          () => 'answered',
          ({ code }) => code,
        ),
      )
      for (const code of codes) t.equal(await Promise.race([code, late]), 'unavailable')
      server.nodes[0]!.resume()
      await eventually('it reads again', () => history.page(A, 1, 1), { within: 20_000 })
      await eventually('and writes', () => history.append([row(A, 3)], 0, 3).then(() => true), {
        within: 20_000,
      })
      t.equal(await history.floor(0), 3)
    },
  )

  await t.test('kill -9 loses nothing that was acked', async (t) => {
    const { history, state } = await opened(t, 'killed')
    let acked = 0
    let failed: { code: string } | undefined
    const writer = (async () => {
      for (let n = 1; failed === undefined; n++) {
        const rows = range(n * 10 - 9, n * 10).map((seq) => row(A, seq))
        try {
          await history.append(rows, 0, n)
          await state.saveRooms([{ room: A, position: n, state: bytes(`at ${n}`) }])
          acked = n
        } catch (error) {
          failed = error as { code: string }
        }
      }
    })()
    await eventually('it writes', () => acked > 40, { within: 30_000 })
    await server.nodes[0]!.kill()
    await writer
    t.equal(failed?.code, 'unavailable')
    await t.rejects(history.page(A, 1, 1), { code: 'unavailable' })
    await server.nodes[0]!.start()
    const page = await eventually('it reads', () => history.page(A, 1, acked * 10), {
      within: 30_000,
    })
    t.same(
      page.map(({ seq }) => seq),
      range(1, acked * 10),
    )
    t.ok((await history.floor(0)) >= acked)
    t.ok(((await state.room(A))?.position ?? 0) >= acked)
  })
})
