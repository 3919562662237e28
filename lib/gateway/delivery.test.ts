import t from 'tap'
import { encodeFrame, readFrames } from '../protocol/codec.ts'
import { FakeSocket } from '../testing/gateway/fakes.ts'
import { eventFrame } from '../testing/gateway/scripted-host.ts'
import { Delivery } from './delivery.ts'
import { Hub } from './hub.ts'
import type { Session } from './session.ts'

const start = (outboxBytes = 10_000) => {
  const slow: Session[] = []
  let scheduled = 0
  const delivery = new Delivery(
    () => scheduled++,
    (session) => {
      if (session.step('overflow') === 'close') slow.push(session)
    },
  )
  const hub = new Hub(10, outboxBytes)
  const open = () => {
    const socket = new FakeSocket()
    const session = hub.open(socket, 'a', 0)
    session.state = 'open'
    return { socket, session }
  }
  return { delivery, open, slow, scheduled: () => scheduled }
}

const event = (seq: number, text = 'x') => eventFrame('gRoomOfTheTest', seq, text)
const mark = encodeFrame('mark', {
  room: 'gRoomOfTheTest' as never,
  user: 'uA' as never,
  kind: 1,
  seq: 1,
  ord: 1,
})
const seqs = (socket: FakeSocket) =>
  socket.sent.flatMap((bytes) =>
    readFrames(bytes).map((frame) => ('seq' in frame ? frame.seq : frame.name)),
  )

t.test('the frames of a turn are one WebSocket message a session', async (t) => {
  const { delivery, open, scheduled } = start()
  const a = open()
  const b = open()
  for (let seq = 1; seq <= 3; seq++) {
    delivery.deliver(a.session, event(seq))
    delivery.deliver(b.session, event(seq))
  }
  t.equal(scheduled(), 1)
  t.equal(a.socket.sent.length, 0)
  delivery.flush()
  t.equal(a.socket.sent.length, 1)
  t.strictSame(seqs(a.socket), [1, 2, 3])
  t.strictSame(seqs(b.socket), [1, 2, 3])
  delivery.flush()
  t.equal(a.socket.sent.length, 1, 'nothing twice')
  delivery.deliver(a.session, event(4))
  t.equal(scheduled(), 2)
})

t.test('a choked socket gets nothing until it drains, then all of it in order', async (t) => {
  const { delivery, open, slow } = start()
  const { socket, session } = open()
  socket.keeping = true
  delivery.deliver(session, event(1))
  delivery.flush()
  for (let seq = 2; seq <= 9; seq++) {
    delivery.deliver(session, event(seq))
    delivery.deliver(session, mark)
    delivery.flush()
  }
  t.equal(socket.sent.length, 1)
  delivery.drained(session)
  t.equal(socket.sent.length, 1, 'it still keeps bytes back')
  socket.drain()
  delivery.drained(session)
  t.strictSame(seqs(socket), [1, 2, 3, 4, 5, 6, 7, 8, 9], 'marks are droppable, events are not')
  t.equal(delivery.stats.dropped, 8)
  t.strictSame(slow, [])
  delivery.deliver(session, mark)
  delivery.flush()
  t.equal(readFrames(socket.sent.at(-1)!)[0]!.name, 'mark', 'and are written when there is room')
})

t.test('an outbox that would pass its bound ends the session, others go on', async (t) => {
  const { delivery, open, slow } = start(2_000)
  const { socket, session } = open()
  const other = open()
  socket.keeping = true
  let seq = 0
  while (slow.length === 0 && seq < 1000) {
    seq++
    delivery.deliver(session, event(seq, 'some text'))
    delivery.deliver(other.session, event(seq, 'some text'))
    delivery.flush()
  }
  t.strictSame(slow, [session])
  t.equal(session.state, 'closed')
  const written = seqs(socket)
  t.strictSame(written, [1], 'nothing is skipped: what was written is a beginning of the stream')
  delivery.deliver(session, event(seq + 1))
  delivery.flush()
  t.equal(socket.sent.length, 1, 'and nothing follows')
  t.equal(seqs(other.socket).length, seq)
})

t.test('more than the bound in one turn is written at once to a client that reads', async (t) => {
  const { delivery, open, slow } = start(2_000)
  const { socket, session } = open()
  for (let seq = 1; seq <= 100; seq++) delivery.deliver(session, event(seq, 'z'.repeat(100)))
  delivery.flush()
  t.strictSame(
    seqs(socket),
    [...Array(100).keys()].map((i) => i + 1),
  )
  t.strictSame(slow, [])
  t.ok(socket.sent.every((bytes) => bytes.length <= 2_000))
  socket.keeping = true
  for (let seq = 1; seq <= 100; seq++) delivery.deliver(session, event(seq, 'z'.repeat(100)))
  t.strictSame(slow, [session], 'one that does not read is slow')
})

t.test('a socket that throws bytes away is fatal for its session', async (t) => {
  const { delivery, open, slow } = start()
  const { socket, session } = open()
  socket.dropping = true
  delivery.deliver(session, event(1))
  delivery.flush()
  t.strictSame(slow, [session])
})

t.test('frames before the welcome follow it; past the bound the later ones are lost', async (t) => {
  const { delivery, open } = start(1_000_000)
  const { socket, session } = open()
  session.state = 'asking'
  for (let seq = 1; seq <= 100; seq++) delivery.deliver(session, event(seq, 'y'.repeat(8000)))
  delivery.flush()
  t.equal(socket.sent.length, 0)
  t.ok(session.earlyBytes <= 256 * 1024)
  session.state = 'open'
  delivery.push(session, encodeFrame('ok', { req: 1 }))
  delivery.release(session)
  delivery.flush()
  const got = seqs(socket)
  t.equal(got[0], 'ok')
  t.strictSame(
    got.slice(1),
    [...Array(got.length - 1).keys()].map((i) => i + 1),
  )
  t.ok(got.length > 20 && got.length < 50)
  for (const state of ['opening', 'verifying', 'closed'] as const) {
    session.state = state
    delivery.deliver(session, event(999))
  }
  delivery.flush()
  t.notOk(seqs(socket).includes(999), 'nobody else gets frames of the cluster')
})

t.test('the last words of a session that is ended', async (t) => {
  const { delivery, open } = start()
  const { socket, session } = open()
  delivery.deliver(session, event(1))
  session.state = 'closed'
  delivery.finish(session, encodeFrame('ok', { req: 9 }))
  t.strictSame(seqs(socket), [1, 'ok'])
  delivery.flush()
  t.equal(socket.sent.length, 1)
})
