import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { frames, framesOf, uints, values } from '../testing/frames.ts'
import { encodeFrame, readFrame } from './codec.ts'
import { FRAMES, type Frame } from './frames.ts'
import { isSend, readEvent, readHead, readSend, type Send, writeAck, writeEvent } from './hot.ts'
import { BadFrame, Reader } from './reader.ts'
import { Writer } from './writer.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const sends = framesOf('send') as fc.Arbitrary<{ name: 'send' } & Frame<'send'>>
const events = framesOf('event') as fc.Arbitrary<{ name: 'event' } & Frame<'event'>>

/** What `read` gives and where it stops, or that it refuses. Any other error is thrown. */
const outcome = <T>(bytes: Uint8Array, read: (reader: Reader) => T) => {
  const reader = new Reader(bytes)
  try {
    return { value: read(reader), at: reader.at }
  } catch (error) {
    if (!(error instanceof BadFrame)) throw error
    return 'refused'
  }
}

const hot = (bytes: Uint8Array) =>
  outcome(bytes, (reader) => {
    const { length, type } = readHead(reader)
    return isSend(type) ? readSend(reader, bytes, length) : undefined
  })

const readHot = (bytes: Uint8Array): Send => {
  const read = hot(bytes)
  assert.ok(typeof read === 'object' && read.value !== undefined)
  return read.value
}

/** Asserts that both ways say the same of these bytes. */
const same = (bytes: Uint8Array) => {
  const quick = hot(bytes)
  const plain = outcome(bytes, readFrame)
  if (typeof quick === 'object' && quick.value === undefined) return
  if (typeof quick === 'string' || typeof plain === 'string') {
    assert.equal(quick, plain)
    return
  }
  assert.equal(quick.at, plain.at)
  const { hash, text, textBytes, ...rest } = quick.value!
  const string = new Reader(text).str(textBytes)
  assert.equal(Buffer.byteLength(string), textBytes)
  assert.deepEqual({ ...rest, text: string }, { ...plain.value })
}

t.test('a send is read as by the codec', async () => {
  fc.assert(
    fc.property(sends, (frame) => same(encodeFrame('send', frame))),
    { numRuns: 300 },
  )
})

t.test('a send of a newer client is read as by the codec', async () => {
  fc.assert(
    fc.property(sends, fc.array(values(3), { minLength: 1, maxLength: 20 }), (frame, extra) => {
      const writer = new Writer().array(9 + extra.length)
      writer.raw(encodeFrame('send', frame).subarray(1))
      for (const value of extra) writer.raw(value)
      same(writer.take())
    }),
  )
})

t.test('a broken send is refused as by the codec', async () => {
  fc.assert(
    fc.property(
      sends,
      fc.array(fc.tuple(fc.nat(), uints(255)), { maxLength: 4 }),
      (frame, hits) => {
        const bytes = encodeFrame('send', frame)
        for (const [at, byte] of hits) bytes[at % bytes.length] = byte
        same(bytes)
      },
    ),
    { numRuns: 3000 },
  )
  fc.assert(
    fc.property(sends, fc.nat(), (frame, cut) => {
      const bytes = encodeFrame('send', frame)
      same(bytes.subarray(0, cut % bytes.length))
    }),
    { numRuns: 500 },
  )
})

t.test('a send is refused as by the codec at the limits of its fields', async (t) => {
  const send = FRAMES.send.type.toString(16)
  const room = `a9${hex(Buffer.from('g12345678'))}`
  const text = (size: number) => `db${size.toString(16).padStart(8, '0')}${'61'.repeat(size)}`
  const bad = {
    'a request number of 2^32': `99${send}cf0000000100000000${room}01000101a161c0`,
    'a room of another prefix': `99${send}01a9${hex(Buffer.from('c12345678'))}01000101a161c0`,
    'a lineage of 2^53': `99${send}01${room}cf0020000000000000000101a161c0`,
    'a negative n': `99${send}01${room}0100ff01a161c0`,
    'a text of 65537 bytes': `99${send}01${room}01000101${text(65537)}c0`,
    'a text of invalid UTF-8': `99${send}01${room}01000101a2c0afc0`,
    'a text as bytes': `99${send}01${room}01000101c40161c0`,
    'a peer that is no user': `99${send}01${room}01000101a161a1${hex(Buffer.from('x'))}`,
    'a peer of 33 characters': `99${send}01${room}01000101a161d921${'75'.repeat(33)}`,
    'a field too few': `98${send}01${room}01000101a161`,
    'a map after the last field': `9a${send}01${room}01000101a161c080`,
    'nothing but a type': `91${send}`,
    'an empty array': '90',
    nothing: '',
  }
  for (const [why, bytes] of Object.entries(bad)) {
    t.equal(hot(Buffer.from(bytes, 'hex')), 'refused', why)
    t.doesNotThrow(() => same(Buffer.from(bytes, 'hex')), why)
  }
  const largest = Buffer.from(`99${send}01${room}01000101${text(65536)}c0`, 'hex')
  t.equal(readHot(largest).textBytes, 65536)
  same(largest)
})

t.test('other frames are told by their head and left alone', async () => {
  fc.assert(
    fc.property(frames(), (frame) => {
      const bytes = encodeFrame(frame.name, frame as Frame<never>)
      const reader = new Reader(bytes)
      const { length, type } = readHead(reader)
      assert.equal(type, FRAMES[frame.name].type)
      assert.equal(length, 1 + Object.keys(FRAMES[frame.name].fields).length)
      assert.equal(isSend(type), frame.name === 'send')
      assert.equal(reader.at, 2)
    }),
  )
})

t.test('N2 the hash of a send is that of its frame without the request number', async () => {
  fc.assert(
    fc.property(sends, uints(0xffffffff), (frame, req) => {
      const { hash } = readHot(encodeFrame('send', frame))
      // Wherever it stands in a message of several frames.
      const writer = new Writer().raw(encodeFrame('ping', { req: 1 }))
      const from = writer.length
      writer.raw(encodeFrame('send', { ...frame, req })).raw(encodeFrame('ping', { req: 2 }))
      const message = writer.take()
      const reader = new Reader(message)
      readFrame(reader)
      assert.equal(reader.at, from)
      const { length } = readHead(reader)
      const whole = readSend(reader, message, length)
      assert.equal(whole.hash, hash)
      const checking = new Reader(message.subarray(from))
      const only = readSend(checking, undefined, readHead(checking).length)
      assert.deepEqual(only, { ...whole, hash: 0 })
      assert.equal(
        hex(encodeFrame('ping', { req: 2 })),
        hex(reader.span(reader.at, message.length)),
      )
    }),
  )
  fc.assert(
    fc.property(sends, sends, (one, other) => {
      const [a, b] = [
        encodeFrame('send', { ...one, req: 0 }),
        encodeFrame('send', { ...other, req: 0 }),
      ]
      assert.equal(readHot(a).hash === readHot(b).hash, hex(a) === hex(b))
    }),
  )
})

t.test('an ack is written as by the codec', async () => {
  fc.assert(
    fc.property(framesOf('ack') as fc.Arbitrary<Frame<'ack'>>, (ack) => {
      const bytes = writeAck(new Writer(1), ack.req, ack.seq, ack.id, ack.time).take()
      assert.equal(hex(bytes), hex(encodeFrame('ack', ack)))
    }),
  )
})

t.test('an event is written and read as by the codec', async () => {
  fc.assert(
    fc.property(events, (event) => {
      const { name: _, kind, ...rest } = event
      const bytes = writeEvent(new Writer(1), { ...rest, type: kind }).take()
      assert.equal(hex(bytes), hex(encodeFrame('event', event)))
      const reader = new Reader(bytes)
      const read = readEvent(reader)
      assert.ok(reader.done)
      assert.deepEqual(
        { ...read, body: hex(read.body) },
        { ...rest, type: kind, body: hex(event.body) },
      )
    }),
  )
})

t.test('an event with fields of a newer server is read, another frame is not', async (t) => {
  const event = {
    room: 'g12345678',
    seq: 1,
    ord: 1,
    id: 5n,
    time: 9,
    sender: 'uAda',
    kind: 1,
    body: Uint8Array.of(0x91, 0xa1, 0x61),
  } as unknown as Frame<'event'>
  const bytes = encodeFrame('event', event)
  const newer = new Reader(new Writer().array(10).raw(bytes.subarray(1)).uint(300).uint(7).take())
  t.equal(readEvent(newer).seq, 1)
  t.equal(newer.uint(), 7, 'and reading goes on after it')
  t.throws(() => readEvent(new Reader(encodeFrame('ping', { req: 1 }))), BadFrame)
  for (let size = 0; size < bytes.length; size++) {
    t.throws(() => readEvent(new Reader(bytes.subarray(0, size))), BadFrame, `${size} bytes`)
  }
})
