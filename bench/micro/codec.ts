/**
 * µs to encode and decode the frames of the message path: hot.ts, the table-driven codec.ts, and msgpackr as it comes
 * (which writes every number from 2^32 as a float and builds anything out of a stranger's bytes: no candidate, a
 * yardstick). Not measured: growing and collecting buffers of real traffic, frames of other sizes.
 *
 *   node bench/micro/codec.ts [--json]
 */
import { Packr } from 'msgpackr'
import { newGroupId, newUserId } from '../../lib/ids.ts'
import { readFrame, writeFrame } from '../../lib/protocol/codec.ts'
import { FRAMES, type Frame } from '../../lib/protocol/frames.ts'
import { readEvent, readHead, readSend, writeAck, writeEvent } from '../../lib/protocol/hot.ts'
import { Reader } from '../../lib/protocol/reader.ts'
import { Writer } from '../../lib/protocol/writer.ts'
import { type Case, measure, report } from './measure.ts'

const room = newGroupId()
const text =
  'Shall we take the early train on Thursday? The later one leaves only at a quarter past ten, I think.'
const send: Frame<'send'> = {
  req: 300,
  room,
  lineage: 100_000_000_000_000,
  join: 0,
  n: 1234,
  low: 1230,
  text,
  peer: null,
}
const ack: Frame<'ack'> = {
  req: 300,
  seq: 70_000,
  id: 99_999_999_999_999_999n,
  time: 1_790_000_000_000,
}
const event: Frame<'event'> = {
  room,
  seq: 70_000,
  ord: 69_000,
  id: ack.id,
  time: ack.time,
  sender: newUserId(),
  kind: 1,
  body: new Writer().array(1).str(text).take(),
}

const writer = new Writer(4096)
const packr = new Packr({ useRecords: false, int64AsType: 'bigint' })
let kept: unknown

const encode = (name: string, run: () => unknown): Case => ({
  name,
  run: (times) => {
    for (let i = 0; i < times; i++) kept = run()
  },
})

const bytes = {
  send: writeFrame(writer.reset(), 'send', send).take(),
  ack: writeFrame(writer.reset(), 'ack', ack).take(),
  event: writeFrame(writer.reset(), 'event', event).take(),
}
const { body, kind: type, ...rest } = event
const hotEvent = { ...rest, type, body }
const plain = {
  send: [FRAMES.send.type, ...Object.values(send)],
  ack: [FRAMES.ack.type, ...Object.values(ack)],
  event: [FRAMES.event.type, ...Object.values(event).slice(0, -1), [text]],
}
const packed = {
  send: packr.pack(plain.send),
  ack: packr.pack(plain.ack),
  event: packr.pack(plain.event),
}

const readHotSend = (): unknown => {
  const reader = new Reader(bytes.send)
  return readSend(reader, bytes.send, readHead(reader).length)
}

report(
  'codec',
  measure([
    encode('send  encode  codec', () => writeFrame(writer.reset(), 'send', send).length),
    encode('send  encode  msgpackr', () => packr.pack(plain.send)),
    encode('send  decode  hot', readHotSend),
    encode('send  decode  codec', () => readFrame(new Reader(bytes.send))),
    encode('send  decode  msgpackr', () => packr.unpack(packed.send)),
    encode('ack   encode  hot', () => writeAck(writer.reset(), ack.req, ack.seq, ack.id, ack.time)),
    encode('ack   encode  codec', () => writeFrame(writer.reset(), 'ack', ack).length),
    encode('ack   encode  msgpackr', () => packr.pack(plain.ack)),
    encode('ack   decode  codec', () => readFrame(new Reader(bytes.ack))),
    encode('ack   decode  msgpackr', () => packr.unpack(packed.ack)),
    encode('event encode  hot', () => writeEvent(writer.reset(), hotEvent).length),
    encode('event encode  codec', () => writeFrame(writer.reset(), 'event', event).length),
    encode('event encode  msgpackr', () => packr.pack(plain.event)),
    encode('event decode  hot', () => readEvent(new Reader(bytes.event))),
    encode('event decode  codec', () => readFrame(new Reader(bytes.event))),
    encode('event decode  msgpackr', () => packr.unpack(packed.event)),
  ]),
)
if (kept === undefined) throw new Error('nothing was read or written')
