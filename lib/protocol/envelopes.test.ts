import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { DeviceId, GatewayId, Incarnation, RoomId, UserId } from '../ids.ts'
import { uints } from '../testing/frames.ts'
import {
  type GatewaySink,
  readLive,
  readToGateway,
  readToHost,
  type ToHost,
  writeBeat,
  writeDeliver,
  writeKick,
  writeLive,
  writeLost,
  writeMoved,
  writePointers,
  writeReply,
  writeRoomCommand,
  writeRoutes,
} from './envelopes.ts'
import { BadFrame } from './reader.ts'
import { Writer } from './writer.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const count = uints(Number.MAX_SAFE_INTEGER)
const ids = fc.stringMatching(/^[A-Za-z0-9_-]{1,32}$/)
const frames = fc.uint8Array({ maxLength: 300 })
const handles = fc.array(count, { maxLength: 5 })

const stamp = {
  handle: count,
  user: ids as fc.Arbitrary<UserId>,
  device: ids as fc.Arbitrary<DeviceId>,
}
const plainObjects = { noNullPrototype: true } as const

const toHost: fc.Arbitrary<ToHost> = fc.oneof(
  fc.record(
    {
      kind: fc.constantFrom('room' as const, 'user' as const),
      token: count,
      attempt: count,
      frame: frames,
      ...stamp,
    },
    plainObjects,
  ),
  fc.record(
    {
      kind: fc.constant('lost' as const),
      handle: count,
      room: ids as fc.Arbitrary<RoomId>,
      seq: count,
      user: fc.constant(null),
    },
    plainObjects,
  ),
  fc.record(
    { kind: fc.constant('beat' as const), generation: count, position: count, ...stamp },
    plainObjects,
  ),
  fc.record(
    {
      kind: fc.constant('routes' as const),
      user: ids as fc.Arbitrary<UserId>,
      sessions: fc.array(
        fc.record({ gateway: ids as fc.Arbitrary<GatewayId>, handle: count }, plainObjects),
        { maxLength: 5 },
      ),
    },
    plainObjects,
  ),
)

const writeToHost = (writer: Writer, item: ToHost): void => {
  if (item.kind === 'routes') writeRoutes(writer, item.user, item.sessions)
  else if (item.kind === 'lost') writeLost(writer, item.handle, item.room, item.seq)
  else if (item.kind === 'beat') writeBeat(writer, item, item.generation, item.position)
  else writeRoomCommand(writer, item.kind, item.token, item.attempt, item, item.frame)
}

const bytesAsHex = (value: object) =>
  Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      item instanceof Uint8Array ? hex(item) : item,
    ]),
  )

t.test('an envelope to a host gives its items in order, with their gateway', async () => {
  fc.assert(
    fc.property(ids, fc.array(toHost, { maxLength: 12 }), (gateway, items) => {
      const writer = new Writer().str(gateway)
      for (const item of items) writeToHost(writer, item)
      const read: unknown[] = []
      readToHost(writer.take(), (from, item) => {
        assert.equal(from, gateway)
        read.push(bytesAsHex(item))
      })
      assert.deepEqual(read, items.map(bytesAsHex))
    }),
  )
})

type Call = readonly unknown[]
const recorder = () => {
  const calls: Call[] = []
  const sink: GatewaySink = {
    final: (token, attempt, frame) => calls.push(['final', token, attempt, hex(frame)]),
    later: (token, attempt, frame) => calls.push(['later', token, attempt, hex(frame)]),
    moved: (token, attempt) => calls.push(['moved', token, attempt]),
    deliver: (handle, frame) => calls.push(['deliver', handle, hex(frame)]),
    pointers: (handle, frame, position) => calls.push(['pointers', handle, hex(frame), position]),
    kick: (handle, code) => calls.push(['kick', handle, code]),
  }
  return { calls, sink }
}

const toGateway: fc.Arbitrary<{ write: (writer: Writer) => void; calls: Call[] }> = fc.oneof(
  fc
    .tuple(fc.constantFrom('final' as const, 'later' as const), count, count, frames)
    .map(([kind, token, attempt, frame]) => ({
      write: (writer: Writer) => writeReply(writer, kind, token, attempt, frame),
      calls: [[kind, token, attempt, hex(frame)]],
    })),
  fc.tuple(count, count).map(([token, attempt]) => ({
    write: (writer: Writer) => writeMoved(writer, token, attempt),
    calls: [['moved', token, attempt]],
  })),
  fc.tuple(frames, handles).map(([frame, to]) => ({
    write: (writer: Writer) => writeDeliver(writer, frame, to),
    calls: to.map((handle) => ['deliver', handle, hex(frame)]),
  })),
  fc.tuple(count, frames, handles).map(([position, frame, to]) => ({
    write: (writer: Writer) => writePointers(writer, position, frame, to),
    calls: to.map((handle) => ['pointers', handle, hex(frame), position]),
  })),
  fc.tuple(uints(4999), handles).map(([code, to]) => ({
    write: (writer: Writer) => writeKick(writer, code, to),
    calls: to.map((handle) => ['kick', handle, code]),
  })),
)

t.test('an envelope to a gateway calls its sink in order', async () => {
  fc.assert(
    fc.property(ids, fc.array(toGateway, { maxLength: 12 }), (host, items) => {
      const writer = new Writer().str(host)
      for (const item of items) item.write(writer)
      const { calls, sink } = recorder()
      let from: Incarnation | undefined
      readToGateway(writer.take(), (incarnation) => {
        from = incarnation
        return sink
      })
      assert.equal(from, host)
      assert.deepEqual(
        calls,
        items.flatMap((item) => item.calls),
      )
    }),
  )
})

t.test('a live frame names the session that must not get it', async () => {
  const except = fc.option(
    fc.record({ gateway: ids as fc.Arbitrary<GatewayId>, handle: count }, plainObjects),
    { nil: undefined },
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(except, frames), { maxLength: 6 }), (items) => {
      const writer = new Writer()
      for (const [skip, frame] of items) writeLive(writer, skip, frame)
      const read: unknown[] = []
      readLive(writer.take(), (gateway, handle, frame) => read.push([gateway, handle, hex(frame)]))
      assert.deepEqual(
        read,
        items.map(([skip, frame]) => [skip?.gateway, skip?.handle ?? 0, hex(frame)]),
      )
    }),
  )
})

t.test('frames in envelopes are views, not copies', async (t) => {
  const writer = new Writer().str('w1')
  writeReply(writer, 'final', 1, 1, Uint8Array.of(1, 2, 3))
  const bytes = writer.take()
  const { sink } = recorder()
  let seen: Uint8Array | undefined
  readToGateway(bytes, () => ({ ...sink, final: (_token, _attempt, frame) => (seen = frame) }))
  t.equal(seen?.buffer, bytes.buffer)
})

t.test('an item of a newer process or a cut envelope is refused', async (t) => {
  const unknown = new Writer().str('x').uint(99).take()
  t.throws(() => readToHost(unknown, () => {}), /envelope item 99/)
  t.throws(() => readToGateway(unknown, () => recorder().sink), /envelope item 99/)
  const host = new Writer().str('w1')
  const stamped = { handle: 1, user: 'u1' as UserId, device: 'v1' as DeviceId }
  writeRoomCommand(host, 'room', 1, 1, stamped, Uint8Array.of(1, 2))
  const gateway = new Writer().str('h1')
  writeDeliver(gateway, Uint8Array.of(1, 2), [1, 300])
  const live = writeLive(new Writer(), undefined, Uint8Array.of(1, 2))
  const cuts: [Uint8Array, (bytes: Uint8Array) => void][] = [
    [host.take(), (bytes) => readToHost(bytes, () => {})],
    [gateway.take(), (bytes) => readToGateway(bytes, () => recorder().sink)],
    [live.take(), (bytes) => readLive(bytes, () => {})],
  ]
  for (const [bytes, read] of cuts) {
    t.doesNotThrow(() => read(bytes))
    // Past the sender's id, which alone is an envelope without items.
    for (let size = 4; size < bytes.length; size++) {
      t.throws(() => read(bytes.subarray(0, size)), BadFrame, `${size} of ${bytes.length}`)
    }
  }
})
