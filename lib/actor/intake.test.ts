import t from 'tap'
import type { Bus } from '../bus/bus.ts'
import { ERRORS } from '../errors.ts'
import {
  type DeviceId,
  dmId,
  type GatewayId,
  type Incarnation,
  partitionOf,
  type UserId,
} from '../ids.ts'
import { encodeFrame, readFrame } from '../protocol/codec.ts'
import { writeBeat, writeLost, writeRoomCommand, writeRoutes } from '../protocol/envelopes.ts'
import { Reader } from '../protocol/reader.ts'
import { encodeUserCommand } from '../protocol/user-commands.ts'
import { Writer } from '../protocol/writer.ts'
import { GatewaySink } from '../testing/gateway-sink.ts'
import { type Actors, Intake, Places, readCommand } from './intake.ts'
import { type Origin, Outbound } from './outbound.ts'

const ANN = 'uAnn' as UserId
const BOB = 'uBob' as UserId
const ROOM = dmId(ANN, BOB)
const STAMP = { handle: 5, user: ANN, device: 'v1' as DeviceId }
const P = 8

const start = () => {
  const sink = new GatewaySink()
  const outbound = new Outbound('hSelf' as Incarnation, sink.bus, () => {})
  const calls: [string, ...unknown[]][] = []
  const origins: Origin[] = []
  const actors: Actors = {
    room: (p, id, origin, command) => {
      origins.push(origin)
      calls.push(['room', p, id, command.name])
    },
    user: (p, origin, command) => {
      origins.push(origin)
      calls.push(['user', p, command.name])
    },
    beat: (p, gateway, item) => calls.push(['beat', p, gateway, item.position]),
    lost: (gateway, item) => calls.push(['lost', gateway, item.handle, item.seq]),
    routes: (item) => calls.push(['routes', item.user, item.sessions.length]),
    unreadable: (subject, cause) => calls.push(['unreadable', subject, String(cause)]),
  }
  const intake = new Intake(actors, outbound, sink.bus as Bus, new Places(P))
  const receive = (data: Uint8Array, reply?: string) =>
    intake.onMessage({ subject: 'h.hSelf', data, reply })
  const take = () => {
    outbound.flush()
    return sink.take()
  }
  return { calls, origins, receive, take }
}

const envelope = () => new Writer().str('w1')
const room = (writer: Writer, frame: Uint8Array, token = 1): Writer => {
  writeRoomCommand(writer, 'room', token, 2, STAMP, frame)
  return writer
}
const fetchFrame = encodeFrame('fetch', { req: 3, room: ROOM, from: 1, limit: 5, back: false })
const leaveFrame = encodeFrame('leave', { req: 3, room: ROOM, lineage: 1, join: 0, n: 1, low: 1 })
const sendFrame = encodeFrame('send', {
  req: 3,
  room: ROOM,
  lineage: 1,
  join: 0,
  n: 1,
  low: 1,
  text: 'hi',
  peer: BOB,
})

t.test('an envelope: each item to its actor, in order', async (t) => {
  const { calls, origins, receive } = start()
  const writer = room(room(room(envelope(), sendFrame), fetchFrame, 2), leaveFrame, 3)
  writeRoomCommand(writer, 'user', 4, 1, STAMP, encodeUserCommand({ name: 'bye' }))
  writeBeat(writer, STAMP, 1, 77)
  writeLost(writer, 5, ROOM, 9)
  writeRoutes(writer, BOB, [{ gateway: 'w2' as GatewayId, handle: 1 }])
  receive(writer.take())
  t.strictSame(calls, [
    ['room', partitionOf(ROOM, P), ROOM, 'send'],
    ['room', partitionOf(ROOM, P), ROOM, 'fetch'],
    ['room', partitionOf(ROOM, P), ROOM, 'leave'],
    ['user', partitionOf(ANN, P), 'bye'],
    ['beat', partitionOf(ANN, P), 'w1', 77],
    ['lost', 'w1', 5, 9],
    ['routes', BOB, 1],
  ])
  t.match(origins[0], { gateway: 'w1', token: 1, attempt: 2, ...STAMP })
})

t.test(
  'O3 a command on an actor’s own subject is answered to who asked, or not at all',
  async (t) => {
    const { origins, receive, take } = start()
    receive(room(envelope(), fetchFrame).take(), '_INBOX.x')
    const [origin] = origins
    t.equal(origin?.gateway, undefined)
    origin?.outlet.final(1, 1, Uint8Array.of(1))
    origin?.outlet.later(1, 1, Uint8Array.of(2))
    origin?.outlet.moved(1, 1)
    t.strictSame(take(), [
      { kind: 'other', subject: '_INBOX.x', data: Uint8Array.of(1) },
      { kind: 'other', subject: '_INBOX.x', data: Uint8Array.of(2) },
    ])
  },
)

t.test('a command that can not be read is answered, and those behind it are done', async (t) => {
  const { calls, receive, take } = start()
  const writer = room(room(envelope(), Uint8Array.of(0xc1)), encodeFrame('ping', { req: 9 }), 2)
  writeRoomCommand(writer, 'user', 3, 1, STAMP, Uint8Array.of(0x91, 0x63))
  receive(room(writer, fetchFrame, 4).take())
  t.strictSame(
    calls.map(([kind]) => kind),
    ['unreadable', 'unreadable', 'unreadable', 'room'],
  )
  const answers = take().map((one) => {
    if (one.kind !== 'final') return one.kind
    const frame = readFrame(new Reader(one.frame))
    return [one.token, frame.name === 'error' && frame.code]
  })
  t.strictSame(
    answers,
    [1, 2, 3].map((token) => [token, ERRORS.bad_frame.number]),
  )
})

t.test('an envelope that ends in the middle is told of; what came before is done', async (t) => {
  const { calls, receive } = start()
  const bytes = room(room(envelope(), fetchFrame), fetchFrame, 2).take()
  receive(bytes.subarray(0, bytes.length - 3))
  t.strictSame(
    calls.map(([kind]) => kind),
    ['room', 'unreadable'],
  )
})

t.test('a bug in an actor is told of too', async (t) => {
  const sink = new GatewaySink()
  const outbound = new Outbound('hSelf' as Incarnation, sink.bus, () => {})
  const told: unknown[] = []
  const actors = {
    room: () => {
      throw new TypeError('a bug')
    },
    unreadable: (_subject: string, cause: unknown) => void told.push(cause),
  } as unknown as Actors
  const intake = new Intake(actors, outbound, sink.bus as Bus, new Places(P))
  intake.onMessage({ subject: 'h.x', data: room(envelope(), fetchFrame).take(), reply: undefined })
  t.match(told, [TypeError])
})

t.test('a frame of the client’s is hashed without its request number', async (t) => {
  const first = readCommand(leaveFrame)
  const again = readCommand(
    encodeFrame('leave', { req: 70_000, room: ROOM, lineage: 1, join: 0, n: 1, low: 1 }),
  )
  const other = readCommand(
    encodeFrame('leave', { req: 3, room: ROOM, lineage: 1, join: 0, n: 2, low: 1 }),
  )
  const hash = (command: object): unknown => ('hash' in command ? command.hash : undefined)
  t.type(hash(first), 'number')
  t.equal(hash(again), hash(first))
  t.not(hash(other), hash(first))
})

t.test('places are those of the ids, however many', async (t) => {
  const places = new Places(P, 30)
  const ids = Array.from({ length: 100 }, (_, i) => `u${i}` as UserId)
  t.strictSame(
    ids.map((id) => places.of(id)),
    ids.map((id) => partitionOf(id, P)),
  )
  t.equal(places.of('u5' as UserId), partitionOf('u5' as UserId, P))
})
