import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { encodeFrame, readFrame } from '../../lib/protocol/codec.ts'
import type { AnyFrame } from '../../lib/protocol/frames.ts'
import { Reader } from '../../lib/protocol/reader.ts'
import { Writer } from '../../lib/protocol/writer.ts'
import { frames, framesOf } from '../../lib/testing/frames.ts'
import { Inbound, type Sink } from './inbound.ts'
import { OPCODE } from './websocket.ts'

const bodyOf = (text: string): Uint8Array => new Writer().array(1).str(text).take()

/** A message as servers send it: unmasked. */
const messageOf = (payload: Uint8Array, first = 0x82): Uint8Array => {
  const { length } = payload
  const header =
    length < 126
      ? [first, length]
      : length <= 0xffff
        ? [first, 126, length >> 8, length & 255]
        : [
            first,
            127,
            0,
            0,
            0,
            0,
            length >>> 24,
            (length >> 16) & 255,
            (length >> 8) & 255,
            length & 255,
          ]
  return Uint8Array.from([...header, ...payload])
}

/** Everything that was told, as plain frames. */
const collect = () => {
  const told: unknown[] = []
  const sink: Sink = {
    ack: (req, seq, high, low, time) =>
      told.push({ name: 'ack', req, seq, id: (BigInt(high) << 32n) | BigInt(low), time }),
    event: (event) => {
      const { bytes, roomAt, roomEnd, senderAt, senderEnd, bodyAt, bodyEnd } = event
      const text = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).toString()
      told.push({
        name: 'event',
        room: text(roomAt, roomEnd),
        seq: event.seq,
        ord: event.ord,
        id: (BigInt(event.high) << 32n) | BigInt(event.low),
        time: event.time,
        sender: text(senderAt, senderEnd),
        kind: event.kind,
        body: bytes.slice(bodyAt, bodyEnd),
      })
    },
    other: (frame) => told.push(frame),
    control: (opcode, payload) => told.push([opcode, payload.slice()]),
  }
  return { told, inbound: new Inbound(sink) }
}

const encode = ({ name, ...fields }: AnyFrame): Uint8Array => encodeFrame(name, fields as never)
/** As the codec sees them. */
const plain = (frame: AnyFrame): unknown => readFrame(new Reader(encode(frame)))

const messages = fc.array(
  fc.array(fc.oneof(frames(), framesOf('ack'), framesOf('event')), { minLength: 1, maxLength: 5 }),
  { minLength: 1, maxLength: 5 },
)

t.test('reads what the codec reads, in whatever pieces it comes', async () => {
  fc.assert(
    fc.property(
      messages,
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }),
      (list, cuts) => {
        const stream = Buffer.concat(
          list.map((message) => messageOf(Buffer.concat(message.map(encode)))),
        )
        const { told, inbound } = collect()
        for (let at = 0, cut = 0; at < stream.length; cut++) {
          const size = cuts[cut % cuts.length]!
          // A buffer that is used again, as that of the sockets is.
          const piece = Uint8Array.from(stream.subarray(at, at + size))
          inbound.feed(piece)
          piece.fill(0xff)
          at += size
        }
        assert.deepEqual(told, list.flat().map(plain))
      },
    ),
    { numRuns: 300 },
  )
})

t.test('reads long messages and control frames', async (t) => {
  const [long] = fc.sample(framesOf('event'), 1) as [AnyFrame & { name: 'event' }]
  const event = { ...long, body: bodyOf('x'.repeat(70_000)) }
  const { told, inbound } = collect()
  inbound.feed(messageOf(encode(event)))
  inbound.feed(messageOf(Uint8Array.of(3, 232), 0x88))
  inbound.feed(messageOf(Uint8Array.of(7), 0x89))
  t.match(told[0], { name: 'event', seq: event.seq, body: event.body })
  t.same(told.slice(1), [
    [OPCODE.close, Uint8Array.of(3, 232)],
    [OPCODE.ping, Uint8Array.of(7)],
  ])
})

t.test('frames of a page are read like those of the live path', async (t) => {
  const [event] = fc.sample(framesOf('event'), 1) as [AnyFrame]
  const { told, inbound } = collect()
  inbound.scan(encode(event))
  t.same(told, [plain(event)])
})

t.test('a server that breaks the protocol is found out', async (t) => {
  const bad: [string, Uint8Array, RegExp][] = [
    ['masks', Uint8Array.of(0x82, 0x81, 0, 0, 0, 0, 1), /masks/],
    ['sends text', messageOf(Uint8Array.of(0x91, 3), 0x81), /starts with 129/],
    ['sends fragments', messageOf(Uint8Array.of(0x91, 3), 0x02), /starts with 2/],
    ['ends a message inside an ack', messageOf(Uint8Array.of(0x95, 21, 1)), /./],
    [
      'ends a message inside an event',
      messageOf(Uint8Array.of(0x99, 22, 0xa5, 0x61)),
      /past its message/,
    ],
    ['sends an unknown type', messageOf(Uint8Array.of(0x91, 0x7f)), /type 127/],
    ['sends no frame', messageOf(Uint8Array.of(0xc1)), /./],
  ]
  for (const [what, bytes, message] of bad) {
    t.throws(() => collect().inbound.feed(bytes), { message }, what)
  }
})
