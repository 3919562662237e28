import t from 'tap'
import { encodeFrame, readFrames } from '../protocol/codec.ts'
import { FakeSocket } from '../testing/gateway/fakes.ts'
import { sendFrame } from '../testing/gateway/test-client.ts'
import { GATEWAY_DEFAULTS } from './config.ts'
import type { Context } from './handlers/context.ts'
import { Hub } from './hub.ts'
import { Inbound } from './inbound.ts'
import { Limits } from './limits.ts'

const ROOM = 'gRoomOfTheTest'

const start = (over: Partial<Context> = {}) => {
  const sent: { room: string; req: number; frame: Uint8Array }[] = []
  const ended: string[] = []
  const refused: { req: number; code: string }[] = []
  const failed: unknown[] = []
  const limits = new Limits(GATEWAY_DEFAULTS)
  const context = {
    config: GATEWAY_DEFAULTS,
    toRoom: (_session, room, req, frame) => sent.push({ room, req, frame: frame.slice() }),
    refuse: (_session, req, refusal) => refused.push({ req, code: refusal.refused }),
    end: (_session, reason) => ended.push(reason),
    failed: (error) => failed.push(error),
    ...over,
  } as Context
  const session = new Hub(10, 1000).open(new FakeSocket(), 'a', 0)
  session.state = 'open'
  limits.start(session)
  const inbound = new Inbound(context, limits)
  const message = (bytes: Uint8Array) => inbound.message(session, bytes, true, 10)
  return { sent, ended, refused, failed, session, message }
}

t.test('a frame goes to its room as the very bytes that came', async (t) => {
  const { sent, message } = start()
  const one = sendFrame(ROOM, 1, 'one')
  const fetch = { req: 2, room: ROOM as never, from: 1, limit: 5, back: false }
  const two = encodeFrame('fetch', fetch)
  const three = sendFrame('gAnotherRoom', 3, 'drei € 🙂')
  message(Buffer.concat([one, two, three]))
  t.strictSame(
    sent.map(({ room, req, frame }) => [room, req, Buffer.from(frame).toString('hex')]),
    [
      [ROOM, 1, Buffer.from(one).toString('hex')],
      [ROOM, 2, Buffer.from(two).toString('hex')],
      ['gAnotherRoom', 3, Buffer.from(three).toString('hex')],
    ],
  )
})

t.test('what came before the bad part of a message counts, nothing after it', async (t) => {
  const { sent, ended, message, session } = start()
  const good = sendFrame(ROOM, 1, 'one')
  message(Buffer.concat([good, Buffer.of(0xc1), sendFrame(ROOM, 2, 'two')]))
  t.strictSame(
    sent.map(({ req }) => req),
    [1],
  )
  t.strictSame(ended, ['bad_frame'])
  t.equal(session.state, 'closed')
  message(good)
  t.equal(sent.length, 1, 'a closed session sends nothing')
})

t.test('a text of exactly the limit passes, a byte more is too large and stays here', async (t) => {
  const { sent, refused, message, ended } = start()
  const { textBytes } = GATEWAY_DEFAULTS
  message(sendFrame(ROOM, 1, 'x'.repeat(textBytes)))
  message(sendFrame(ROOM, 2, 'x'.repeat(textBytes + 1)))
  t.strictSame(
    sent.map(({ req }) => req),
    [1],
  )
  t.strictSame(refused, [{ req: 2, code: 'too_large' }])
  t.strictSame(ended, [])
})

t.test('a bug in a handler ends the session and is told', async (t) => {
  const bug = new Error('a bug')
  const { ended, failed, message } = start({
    toRoom: () => {
      throw bug
    },
  })
  message(sendFrame(ROOM, 1, 'one'))
  t.strictSame(failed, [bug])
  t.strictSame(ended, ['internal'])
})

t.test('frames beyond the rate are refused one by one, then the session ends', async (t) => {
  const { sent, refused, ended, message } = start()
  const { frameBurst } = GATEWAY_DEFAULTS
  for (let n = 1; n <= 2 * frameBurst + 10; n++) message(sendFrame(ROOM, n, 'x'))
  t.ok(sent.length >= frameBurst && sent.length <= frameBurst + 2)
  t.ok(refused.every(({ code }) => code === 'rate'))
  t.equal(refused.length, frameBurst)
  t.strictSame(ended, ['rate'])
  t.strictSame(readFrames(sent[0]!.frame)[0]?.name, 'send')
})
