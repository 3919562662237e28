import { join } from 'node:path'
import t from 'tap'
import { parseRoomId, parseUserId } from '../ids.ts'
import { writeEvent } from '../protocol/hot.ts'
import { BadFrame } from '../protocol/reader.ts'
import { encodeBatch, type LogRecord } from '../protocol/records.ts'
import { Writer } from '../protocol/writer.ts'
import { levelHistory } from '../store/level/level-history.ts'
import { openLevel } from '../store/level/open.ts'
import { historyProjection } from './history.ts'

const room = parseRoomId('gaaaaaaaaaaaaaaaaaaaaa')!
const user = parseUserId('uann')!
const numbered = { lineage: 7, n: 1, low: 1, hash: 99 }
const event = (seq: number) => ({
  room,
  seq,
  ord: seq,
  id: 1n << 40n,
  time: 1_700_000_000_000,
  sender: user,
  type: 1,
  body: new Writer().array(1).str(`text ${seq} 🙂`).take(),
})
const batch = (...records: LogRecord[]) => ({
  position: 3,
  subject: 'log.0',
  data: encodeBatch({ epoch: 1, number: 2, prev: 2, view: 1, records }),
})

t.test('of a batch the events are kept, as the frames that were delivered', async (t) => {
  const history = levelHistory(await openLevel(join(t.testdir(), 'data')))
  t.teardown(() => history.close())
  const projection = historyProjection(history)
  const rows = projection.read(
    batch(
      { kind: 'event', ...numbered, ...event(1) },
      { kind: 'read', room, user, seq: 1, ord: 1 },
      { kind: 'spent', room, user, ...numbered, code: 14 },
      { kind: 'event', ...numbered, ...event(2) },
      { kind: 'tick' },
    ),
  )
  await projection.write(rows, 2, 3)
  t.equal(await projection.floor(2), 3)
  const page = await history.page(room, 1, 10)
  t.same(
    page.map(({ seq }) => seq),
    [1, 2],
  )
  for (const { seq, frame } of page) {
    t.equal(Buffer.compare(frame, writeEvent(new Writer(), event(seq)).take()), 0)
  }
})

t.test('a batch of owners only has no rows', async (t) => {
  const history = levelHistory(await openLevel(join(t.testdir(), 'data')))
  t.teardown(() => history.close())
  t.same(historyProjection(history).read(batch({ kind: 'tick' })), [])
})

t.test('what is not a batch of this version is refused', async (t) => {
  const history = levelHistory(await openLevel(join(t.testdir(), 'data')))
  t.teardown(() => history.close())
  const { read } = historyProjection(history)
  const newer = { position: 1, subject: 'log.0', data: new Writer().uint(200).take() }
  t.throws(() => read(newer), BadFrame)
  const cut = batch({ kind: 'event', ...numbered, ...event(1) })
  t.throws(() => read({ ...cut, data: cut.data.subarray(0, -3) }), BadFrame)
})
