import t from 'tap'
import type { AppendReply } from '../bus/bus.ts'
import { inboxSubject, logSubject } from '../subjects.ts'
import { eventually } from '../testing/eventually.ts'
import { startBus } from '../testing/servers/bus.ts'
import { Appends } from './appends.ts'

t.test('answers come to whoever asked, by their tokens', async (t) => {
  const bus = await startBus(t, { partitions: 2, streams: 1 })
  const nats = await bus.connect()
  const told: [string, ...unknown[]][] = []
  const appends = new Appends(nats, {
    log: (...answer) => told.push(['log', ...answer]),
    inbox: (...answer) => told.push(['inbox', ...answer]),
  })
  const bytes = Uint8Array.of(1)
  appends.log(logSubject(1), 1, 77, bytes, 0, 5, 2)
  await eventually('an answer', () => told.length === 1)
  t.match(told, [['log', 1, 77, 5, 2, { ok: true, seq: 1 }]])
  appends.log(logSubject(1), 1, 77, bytes, 0, 6, 0)
  await eventually('a refusal', () => told.length === 2)
  t.match(told[1], ['log', 1, 77, 6, 0, { ok: false, code: 10071, last: 1 }])
  appends.inbox(inboxSubject(0), 0, bytes, 9)
  await eventually('an answer', () => told.length === 3)
  t.match(told[2], ['inbox', 0, 9, { ok: true, seq: 1 }])

  const once = await Promise.all([
    appends.once(logSubject(0), bytes, 0),
    appends.once(logSubject(1), bytes, 0),
    appends.once(logSubject(1), bytes, undefined),
  ])
  t.match(once satisfies (AppendReply | undefined)[], [
    { ok: true, seq: 2 },
    { ok: false, code: 10071 },
    { ok: true, seq: 3 },
  ])
  t.match(
    await appends.once('nobody.listens', bytes, undefined),
    { ok: false, code: 503 },
    'no stream has this subject',
  )
  t.equal(told.length, 3)

  await bus.server.kill()
  await eventually('the connection is gone', () => !nats.connected)
  t.equal(await appends.once(logSubject(0), bytes, 2), undefined, 'no answer in a second')
  appends.close()
})
