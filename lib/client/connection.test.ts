import t from 'tap'
import {
  CLOSE,
  type CloseReason,
  ERRORS,
  type ErrorCode,
  mayReconnect,
  ParleyError,
} from '../errors.ts'
import { encodeFrame } from '../protocol/codec.ts'
import type { AnyFrame, Frame } from '../protocol/frames.ts'
import { Connection, type Way } from './connection.ts'
import { closeError } from './refusal.ts'
import type { Reply } from './requests.ts'
import type { State } from './state.ts'
import { type FakeSocket, fakeDial } from './testing/fake-socket.ts'
import { FakeTime, settle } from './testing/fake-time.ts'

type Seen = {
  states: State[]
  pushed: string[]
  welcomes: number
  pongs: number
  cuts: number
  renewals: boolean[]
}

const scene = (way?: (renew: boolean) => Promise<Way>) => {
  const time = new FakeTime(() => 0.5)
  const { sockets, dial } = fakeDial()
  const seen: Seen = { states: [], pushed: [], welcomes: 0, pongs: 0, cuts: 0, renewals: [] }
  let order = ''
  const connection = new Connection({
    time,
    dial,
    backoff: { base: 1_000, cap: 8_000 },
    way: async (renew) => {
      seen.renewals.push(renew)
      return way === undefined ? { token: 'jwt', urls: ['ws://one', 'ws://two'] } : way(renew)
    },
    hello: () => ({ cursor: null, lineage: null }),
    events: {
      state: (state) => seen.states.push(state),
      welcome: () => {
        seen.welcomes++
        order += `welcome in ${connection.state} `
      },
      push: (frame: AnyFrame) => {
        seen.pushed.push(frame.name)
        order += `${frame.name} `
      },
      pong: () => seen.pongs++,
      cut: () => seen.cuts++,
    },
  })
  const socket = (): FakeSocket => {
    const last = sockets.at(-1)
    if (last === undefined) throw new Error('nothing was dialled')
    return last
  }
  /** Up to `welcome`. */
  const open = async (): Promise<FakeSocket> => {
    connection.connect()
    await settle()
    socket().open()
    await settle()
    socket().welcome()
    return socket()
  }
  return { time, sockets, seen, connection, socket, open, order: () => order }
}

const errorFrame = (req: number, code: ErrorCode, retryAfter = 0): Frame<'error'> => ({
  ...{ req, code: ERRORS[code].number, temporary: ERRORS[code].temporary, retryAfter, detail: '' },
})

t.test('connects: token, socket, hello, welcome', async (t) => {
  const { connection, seen, socket, open } = scene()
  const { sent, url } = await open()
  t.equal(url, 'ws://one')
  t.match(sent, [{ name: 'hello', version: 1, token: 'jwt', cursor: null, lineage: null }])
  t.strictSame(seen.states, ['authorizing', 'opening', 'greeting', 'open'])
  t.ok(connection.inSession)
  connection.close()
  t.equal(connection.state, 'closed')
  t.equal(socket().closedWith, 1000)
  t.equal(seen.cuts, 1)
})

t.test('C3 welcome is told before what came with it', async (t) => {
  const { connection, socket, order } = scene()
  connection.connect()
  await settle()
  socket().open()
  await settle()
  const { req } = socket().last('hello')
  const welcome = encodeFrame('welcome', {
    ...{
      req,
      user: 'uann' as Frame<'welcome'>['user'],
      device: 'v',
      time: 1,
      heartbeat: 9,
      lineage: 1,
    },
    ...{ resume: '', textLimit: 1, cursor: null, full: true, more: false, changes: [] },
  })
  const goaway = encodeFrame('goaway', { retryAfter: 5 })
  const skip = encodeFrame('skip', {
    room: 'groom-of-two' as Frame<'skip'>['room'],
    first: 1,
    last: 2,
  })
  socket().events.message(Uint8Array.from([...welcome, ...skip, ...goaway, ...skip]))
  t.equal(order(), 'welcome in open skip skip ')
  t.equal(connection.state, 'leaving')
})

t.test('close codes: below 4500 it comes back, resuming; from 4500 it stays away', async (t) => {
  for (const reason of Object.keys(CLOSE) as CloseReason[]) {
    const { number } = CLOSE[reason]
    const { connection, seen, socket, open, sockets, time } = scene()
    await open()
    socket().events.closed(number)
    await time.advance(1_000)
    if (reason === 'token_expired' || reason === 'unauthorized') {
      t.strictSame(seen.renewals.length, 2, `${reason}: another token`)
      continue
    }
    t.equal(connection.state, mayReconnect(number) ? 'opening' : 'closed', reason)
    t.equal(sockets.length, mayReconnect(number) ? 2 : 1, reason)
    if (!mayReconnect(number)) t.ok(connection.reason instanceof ParleyError, reason)
  }
})

t.test(
  'a cut: it waits, jittered and longer each time, and tries the other gateways',
  async (t) => {
    const { connection, socket, open, sockets, time } = scene()
    await open()
    socket().events.closed(1006)
    t.equal(connection.state, 'waiting')
    const waits: number[] = []
    for (let n = 0; n < 5; n++) {
      const before = time.monotonic()
      const dialled = sockets.length
      while (sockets.length === dialled) await time.advance(50)
      waits.push(time.monotonic() - before)
      socket().events.closed(1006)
    }
    t.strictSame(waits, [500, 1_000, 2_000, 4_000, 4_000])
    t.strictSame(
      sockets.map(({ url }) => url.slice(5)),
      ['one', 'two', 'one', 'two', 'one', 'two'],
    )
  },
)

t.test(
  'a later hello resumes; a resume token that is not taken gives way to a real one',
  async (t) => {
    const { connection, socket, open, time, seen } = scene()
    await open()
    socket().events.closed(4000)
    await time.advance(2_000)
    socket().open()
    await settle()
    t.equal(socket().last('hello').token, 'resume')
    socket().give('error', errorFrame(socket().last('hello').req, 'unauthorized'))
    await settle()
    socket().open()
    await settle()
    t.equal(socket().last('hello').token, 'jwt')
    t.strictSame(seen.renewals, [false, false, false], 'the access token may still be good')
    socket().welcome()
    t.equal(connection.state, 'open')
  },
)

t.test('an expired token is renewed once; then it waits, then renews again', async (t) => {
  const { connection, socket, time, seen, sockets } = scene()
  connection.connect()
  await settle()
  socket().open()
  await settle()
  socket().give('error', errorFrame(socket().last('hello').req, 'token_expired'))
  await settle()
  t.strictSame(seen.renewals, [false, true])
  socket().open()
  await settle()
  socket().give('error', errorFrame(socket().last('hello').req, 'token_expired'))
  t.equal(connection.state, 'waiting')
  await time.advance(2_000)
  socket().open()
  await settle()
  socket().give('error', errorFrame(socket().last('hello').req, 'token_expired'))
  await settle()
  t.strictSame(seen.renewals, [false, true, false, true])
  t.equal(sockets.length, 4)
})

t.test('a token that is refused though it is new: closed, with the reason', async (t) => {
  const { connection, socket } = scene()
  connection.connect()
  for (let n = 0; n < 2; n++) {
    await settle()
    socket().open()
    await settle()
    socket().give('error', errorFrame(socket().last('hello').req, 'unauthorized'))
  }
  t.equal(connection.state, 'closed')
  t.match(connection.reason, { code: 'unauthorized' })
})

t.test(
  'every refusal of hello: for now it waits as long as asked, for good it closes',
  async (t) => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      if (code === 'unauthorized' || code === 'token_expired') continue
      const { connection, socket, time, sockets } = scene()
      connection.connect()
      await settle()
      socket().open()
      await settle()
      socket().give('error', errorFrame(socket().last('hello').req, code, 20_000))
      t.equal(connection.state, ERRORS[code].temporary ? 'waiting' : 'closed', code)
      await time.advance(19_900)
      t.equal(sockets.length, 1, code)
      await time.advance(10_200)
      t.equal(sockets.length, ERRORS[code].temporary ? 2 : 1, code)
    }
  },
)

t.test('the API is not there: it waits and asks again; refuses for good: closed', async (t) => {
  let error = new ParleyError('unavailable')
  const { connection, time, seen } = scene(() => Promise.reject(error))
  connection.connect()
  await settle()
  t.equal(connection.state, 'waiting')
  t.equal(connection.reason, error)
  error = new ParleyError('unauthorized')
  await time.advance(1_000)
  t.equal(connection.state, 'closed')
  t.equal(connection.reason, error)
  t.equal(seen.renewals.length, 2)
})

t.test('no gateway, one that cannot be dialled, one that never answers: it waits', async (t) => {
  const none = scene(async () => ({ token: 'jwt', urls: [] }))
  none.connection.connect()
  await settle()
  t.equal(none.connection.state, 'waiting')
  const silent = scene()
  silent.connection.connect()
  await silent.time.advance(9_900)
  t.equal(silent.connection.state, 'opening')
  await silent.time.advance(200)
  t.equal(silent.connection.state, 'waiting')
  const mute = scene()
  mute.connection.connect()
  await settle()
  mute.socket().open()
  await mute.time.advance(9_900)
  t.equal(mute.connection.state, 'greeting')
  await mute.time.advance(200)
  t.equal(mute.connection.state, 'waiting')
  t.match(mute.connection.reason, { code: 'unavailable' })
})

t.test('goaway: it goes on for a moment, then connects again without waiting', async (t) => {
  const { connection, socket, open, time, sockets } = scene()
  const first = await open()
  first.give('goaway', { retryAfter: 2_000 })
  t.equal(connection.state, 'leaving')
  t.ok(connection.inSession)
  await time.advance(900)
  t.equal(sockets.length, 1)
  await time.advance(200)
  t.equal(sockets.length, 2)
  t.equal(first.closedWith, 1000)
  socket().open()
  await settle()
  socket().welcome()
  t.equal(connection.state, 'open')
})

t.test('goaway, and the gateway closes first: it comes back at once', async (t) => {
  const { connection, open, time, sockets } = scene()
  const first = await open()
  first.give('goaway', { retryAfter: 60_000 })
  first.events.closed(4000)
  t.equal(connection.state, 'waiting')
  await time.advance(1_000)
  t.equal(sockets.length, 2)
})

t.test('C2 every request ends: by its reply, at its deadline, with the session', async (t) => {
  const { connection, open, time } = scene()
  const socket = await open()
  const ended: string[] = []
  const ask = (name: string, timeout?: number) =>
    connection.request(
      (req) => encodeFrame('ping', { req }),
      (reply: Reply) => ended.push(`${name} ${reply.name}`),
      timeout,
    )
  const answered = ask('answered')
  const late = ask('late', 1_000)
  ask('lost')
  await settle()
  socket.give('ok', { req: answered })
  socket.give('ok', { req: answered })
  t.strictSame(ended, ['answered ok'])
  await time.advance(2_000)
  t.strictSame(ended, ['answered ok', 'late lost'])
  socket.give('ok', { req: late })
  socket.events.closed(1006)
  t.strictSame(ended, ['answered ok', 'late lost', 'lost lost'])
  ask('without a session')
  t.equal(ended.at(-1), 'without a session lost')
})

t.test('C1 a socket that was let go is not heard any more', async (t) => {
  const { connection, open, seen, time, socket } = scene()
  const old = await open()
  connection.restart()
  t.equal(old.closedWith, 1000)
  old.events.closed(4504)
  old.give('goaway', { retryAfter: 1 })
  t.equal(connection.state, 'waiting')
  await time.advance(1_000)
  old.events.opened()
  old.welcome()
  t.equal(connection.state, 'opening')
  socket().open()
  await settle()
  socket().welcome()
  t.equal(seen.welcomes, 2)
  t.equal(connection.state, 'open')
})

t.test('heartbeat: pings in time; a gateway that is silent is left', async (t) => {
  const { connection, open, seen, time } = scene()
  const socket = await open()
  await time.advance(24_100)
  socket.give('pong', { req: socket.last('ping').req, time: 1, cursor: null })
  t.equal(seen.pongs, 1)
  await time.advance(24_000)
  socket.give('error', errorFrame(socket.last('ping').req, 'rate'))
  t.equal(connection.state, 'open', 'a refusal is a sign of life')
  await time.advance(24_000)
  t.equal(connection.state, 'open')
  await time.advance(10_600)
  t.equal(seen.cuts, 1)
  t.match(connection.reason, { code: 'unavailable' })
})

t.test('what is no frame ends the session, and it comes back', async (t) => {
  const { connection, open } = scene()
  const socket = await open()
  socket.events.message(Uint8Array.from([0xc1]))
  t.equal(connection.state, 'waiting')
  t.match(connection.reason, { code: 'bad_frame' })
})

t.test('an unknown frame is passed over; a reply that nobody waits for is no push', async (t) => {
  const { connection, open, seen } = scene()
  const socket = await open()
  socket.events.message(Uint8Array.from([0x92, 0xcd, 0x03, 0xe7, 0x01]))
  socket.give('ok', { req: 99 })
  socket.give('changes', { req: 0, cursor: null, full: false, more: false, changes: [] })
  t.strictSame(seen.pushed, ['changes'])
  t.equal(connection.state, 'open')
})

t.test(
  'an error without a request says why the session ends, and how long to stay away',
  async (t) => {
    const { connection, open, sockets, time } = scene()
    const socket = await open()
    socket.give('error', errorFrame(0, 'overloaded', 6_000))
    socket.events.closed(4003)
    t.match(connection.reason, { code: 'overloaded' })
    await time.advance(5_900)
    t.equal(sockets.length, 1)
    await time.advance(3_200)
    t.equal(sockets.length, 2)
  },
)

t.test('a wait can be cut short, and closing ends one', async (t) => {
  const { connection, open, sockets, time } = scene()
  const socket = await open()
  socket.events.closed(1006)
  connection.connect()
  await settle()
  t.equal(sockets.length, 2)
  connection.close()
  t.equal(connection.reason, undefined)
  await time.advance(60_000)
  t.equal(sockets.length, 2)
  t.equal(time.waiting, 0, 'no timer is left')
})

t.test('closed while the API is asked: its answer changes nothing', async (t) => {
  const gate = Promise.withResolvers<Way>()
  const { connection, sockets } = scene(() => gate.promise)
  connection.connect()
  connection.close()
  gate.resolve({ token: 'jwt', urls: ['ws://one'] })
  await settle()
  t.equal(sockets.length, 0)
  t.equal(connection.state, 'closed')
})

t.test('every close code is an error that says what to do', async (t) => {
  for (const reason of Object.keys(CLOSE) as CloseReason[]) {
    const error = closeError(CLOSE[reason].number)
    t.equal(error.message, CLOSE[reason].text, reason)
    t.equal(error.canRetry, mayReconnect(CLOSE[reason].number), reason)
  }
  t.match(closeError(1006), { code: 'unavailable' })
  t.match(closeError(4999), { code: 'forbidden' })
})
