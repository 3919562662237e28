import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Packr, unpack } from 'msgpackr'
import t, { type Test } from 'tap'
import { FRAME_NAMES, fieldsOf, frames, framesOf, uints, values } from '../testing/frames.ts'
import { encodeFrame, readFrame, readFrames, readValue, writeFrame, writeValue } from './codec.ts'
import type { Wire } from './fields.ts'
import { type AnyFrame, FRAMES, type Frame, LIMITS } from './frames.ts'
import { BadFrame, MAX_DEPTH, Reader } from './reader.ts'
import { Writer } from './writer.ts'

// With the extensions by which msgpackr makes sets, regular expressions and errors out of a stranger's bytes.
const stranger = new Packr({ moreTypes: true, useRecords: false })

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const fromHex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex')
const encode = (frame: AnyFrame): Uint8Array => encodeFrame(frame.name, frame as Frame<never>)
const one = (bytes: Uint8Array) => readFrame(new Reader(bytes))
const refuses = (t: Test, bytes: Uint8Array, why: string) =>
  t.throws(() => readFrames(bytes), BadFrame, why)

/** A frame of each kind whose fields hold as little as they may. */
const least = (field: Wire): unknown => {
  switch (field.wire) {
    case 'uint':
      return 0
    case 'id64':
      return 0n
    case 'bool':
      return false
    case 'str':
      return ''
    case 'room':
      return 'g12345678'
    case 'user':
      return 'u'
    case 'raw':
      return Uint8Array.of(0xc0)
    case 'nullable':
      return null
    case 'list':
      return []
    case 'record':
      return leastFields(field.fields)
  }
}
const leastFields = (fields: Record<string, Wire>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, least(field)]))
const leastFrame = (name: AnyFrame['name']): AnyFrame =>
  ({ name, ...leastFields(fieldsOf(name)) }) as AnyFrame

for (const name of FRAME_NAMES) {
  t.test(`${name} comes back as it went`, async () => {
    fc.assert(
      fc.property(framesOf(name), (frame) => {
        const bytes = encode(frame)
        const reader = new Reader(bytes)
        assert.deepEqual({ ...readFrame(reader) }, { ...frame })
        assert.ok(reader.done)
      }),
      { numRuns: 60 },
    )
  })
}

t.test('W1 a message is one or more frames, one after the other', async (t) => {
  fc.assert(
    fc.property(fc.array(frames(), { minLength: 1, maxLength: 6 }), (sent) => {
      const writer = new Writer()
      for (const frame of sent) writeFrame(writer, frame.name, frame as Frame<never>)
      assert.deepEqual(
        readFrames(writer.take()).map((frame) => ({ ...frame })),
        sent,
      )
    }),
  )
  refuses(t, new Uint8Array(0), 'none at all')
})

t.test('W1 an incomplete remainder is refused, wherever it was cut', async (t) => {
  const ping = encodeFrame('ping', { req: 1000 })
  for (const name of FRAME_NAMES) {
    const bytes = encode(leastFrame(name))
    t.equal(readFrames(bytes).length, 1)
    for (let size = 1; size < bytes.length; size++) {
      refuses(t, bytes.subarray(0, size), `${name}, ${size} of ${bytes.length} bytes`)
      refuses(t, Buffer.concat([ping, bytes.subarray(0, size)]), 'after a whole frame')
    }
  }
  fc.assert(
    fc.property(frames(), fc.nat(), (frame, cut) => {
      const bytes = encode(frame)
      assert.throws(() => one(bytes.subarray(0, cut % bytes.length)), BadFrame)
    }),
    { numRuns: 300 },
  )
})

t.test('W1 trailing bytes that begin no frame are refused', async (t) => {
  const ping = encodeFrame('ping', { req: 1 })
  for (const tail of [
    '00',
    '01',
    'c0',
    'a0',
    '80',
    'c1',
    'ff',
    '90',
    '91',
    '91c0',
    '91a103',
    'dd',
  ]) {
    refuses(t, Buffer.concat([ping, fromHex(tail)]), tail)
  }
})

t.test('W2 a field that is too large for its place is refused', async (t) => {
  const read = (bytes: Uint8Array) => one(bytes)
  const hello = { ...(leastFrame('hello') as Frame<'hello'>), version: 255, req: 0xffffffff }
  t.match(read(encodeFrame('hello', hello)), { version: 255, req: 0xffffffff })
  t.throws(() => read(encodeFrame('hello', { ...hello, version: 256 })), BadFrame)
  t.throws(() => read(encodeFrame('hello', { ...hello, req: 2 ** 32 })), BadFrame)
  const token = (size: number) => encodeFrame('hello', { ...hello, token: 'x'.repeat(size) })
  t.match(read(token(LIMITS.token)), { name: 'hello' })
  t.throws(() => read(token(LIMITS.token + 1)), BadFrame)
  const add = (size: number) => {
    const users = Array.from({ length: size }, (_, i) => `u${i}`)
    return encodeFrame('add', { ...leastFrame('add'), users } as unknown as Frame<'add'>)
  }
  t.match(read(add(LIMITS.members)), { name: 'add' })
  t.throws(() => read(add(LIMITS.members + 1)), BadFrame)
  const role = (value: number) =>
    encodeFrame('role', { ...leastFrame('role'), role: value } as unknown as Frame<'role'>)
  t.match(read(role(2)), { role: 2 })
  t.throws(() => read(role(3)), BadFrame)
})

t.test('W2 a wrong type in any field of any frame is refused', async (t) => {
  // What msgpackr makes of values of JavaScript, as a careless client would send them.
  const wrong: Record<Wire['wire'], unknown[]> = {
    uint: [-1, 1.5, 2 ** 53, 1e300, Number.NaN, '1', true, null, [], new Uint8Array(1), {}],
    id64: [5, -1, 1.5, '1', null, [], true, {}],
    bool: [0, 1, 'true', null, []],
    str: [1, null, true, [], new Uint8Array(1), {}],
    room: [
      '',
      '*',
      '>',
      'room.1',
      'u1',
      'g1',
      `d${'*'.repeat(22)}`,
      '$JS.API.X',
      'g\0\0\0\0\0\0\0\0',
      1,
      null,
    ],
    user: [
      '',
      '*',
      '>',
      'u.x',
      'u x',
      'u\r\n',
      'u\0',
      'x1',
      `u${'a'.repeat(32)}`,
      '\ufeffu1',
      1,
      null,
    ],
    raw: [-1, 1.5, {}, { constructor: 1 }, new Date(0), /(a+)+$/, new Set([1])],
    nullable: [],
    list: [0, null, 'a', {}, new Uint8Array(1)],
    record: [0, null, 'a', {}, []],
  }
  const bad = (field: Wire): unknown[] =>
    field.wire === 'nullable'
      ? bad(field.inner).filter((value) => value !== null)
      : wrong[field.wire]
  for (const name of FRAME_NAMES) {
    const fields = fieldsOf(name)
    const keys = Object.keys(fields)
    for (const [at, key] of keys.entries()) {
      for (const value of bad(fields[key]!)) {
        const writer = new Writer().array(keys.length + 1).uint(FRAMES[name].type)
        for (const [i, other] of keys.entries()) {
          if (i === at) writer.raw(stranger.pack(value))
          else writeValue(writer, fields[other]!, least(fields[other]!))
        }
        refuses(t, writer.take(), `${name}.${key} = ${String(value)}`)
      }
    }
  }
})

t.test('a field too few is refused', async (t) => {
  for (const name of FRAME_NAMES) {
    const count = Object.keys(fieldsOf(name)).length
    const bytes = encode(leastFrame(name))
    t.equal(bytes[0], 0x90 | (count + 1))
    const last = new Writer()
    const key = Object.keys(fieldsOf(name)).at(-1)!
    writeValue(last, fieldsOf(name)[key]!, least(fieldsOf(name)[key]!))
    const short = bytes.slice(0, bytes.length - last.length)
    short[0] = 0x90 | count
    refuses(t, short, `${name} without ${key}`)
  }
})

t.test('fields that only a newer peer knows are passed over', async () => {
  fc.assert(
    fc.property(frames(), fc.array(values(3), { minLength: 1, maxLength: 20 }), (frame, extra) => {
      const known = Object.keys(fieldsOf(frame.name)).length + 1
      const plain = encode(frame)
      const writer = new Writer().array(known + extra.length).raw(plain.subarray(1))
      for (const value of extra) writer.raw(value)
      const next = encodeFrame('ping', { req: 7 })
      const read = readFrames(writer.raw(next).take())
      assert.deepEqual({ ...read[0] }, { ...frame })
      assert.deepEqual({ ...read[1] }, { name: 'ping', req: 7 })
    }),
    { numRuns: 200 },
  )
})

t.test('fields past the known ones in a nested record are passed over', async (t) => {
  const [type, stream] = [FRAMES.sync.type, 'a173']
  const typeHex = type.toString(16).padStart(2, '0')
  t.match(one(fromHex(`93 ${typeHex} 01 92 ${stream} 05`)), {
    name: 'sync',
    req: 1,
    cursor: { stream: 's', position: 5 },
  })
  t.match(one(fromHex(`93 ${typeHex} 01 94 ${stream} 05 c0 9101`)), {
    name: 'sync',
    cursor: { stream: 's', position: 5 },
  })
  t.throws(() => one(fromHex(`93 ${typeHex} 01 91 ${stream}`)), BadFrame, 'a record too short')
  t.throws(() => one(fromHex(`93 ${typeHex} 01 94 ${stream} 05 c0 80`)), BadFrame, 'a map in it')
})

t.test('a frame of unknown type is given back by its number', async (t) => {
  t.strictSame(one(fromHex('93 cd03e7 07 a161')), { name: undefined, type: 999, req: 7 })
  t.strictSame(one(fromHex('91 cd03e7')), { name: undefined, type: 999, req: 0 })
  t.strictSame(one(fromHex('92 cd03e7 a161')), { name: undefined, type: 999, req: 0 }, 'no number')
  t.strictSame(one(fromHex('92 00 05')), { name: undefined, type: 0, req: 5 })
  t.strictSame(
    one(fromHex('92 cd03e7 cf0000000100000000')),
    { name: undefined, type: 999, req: 0 },
    'too large for a request number',
  )
  const frames = readFrames(fromHex('93 cd03e7 07 92a161c0 92 03 05'))
  t.match(frames, [
    { name: undefined, type: 999 },
    { name: 'ping', req: 5 },
  ])
  refuses(t, fromHex('92 cd03e7 80'), 'unknown, and outside the subset')
  refuses(t, fromHex('93 cd03e7 05'), 'unknown, and cut')
  refuses(t, fromHex('92 ce00010000 05'), 'a type that no version will have')
})

t.test('what is no frame is refused', async (t) => {
  const bad: Record<string, string> = {
    nothing: '',
    'an empty array': '90',
    'an array without a type': '91c0',
    'a type as text': '92a13105',
    'a type as a float': '92cb400800000000000005',
    'a negative type': '92ff05',
    'a number': '05',
    nil: 'c0',
    'a string': 'a568656c6c6f',
    JSON: hex(Buffer.from('[3,1]')),
    'an HTTP request': hex(Buffer.from('GET / HTTP/1.1\r\n\r\n')),
    'a map': '820003 0105',
    'array 32 of 2^32 − 1': 'ddffffffff',
    'the same with a type': 'ddffffffff0305',
    'array 16 of 65535': 'dcffff0305',
    'map 32 of 2^32 − 1': 'dfffffffff',
    'string of 2^31 − 1 in a text': '98010101db7fffffff',
    'bytes of 2^32 − 1 in it': '98010101c6ffffffff',
    'extension of 2^31 − 1': 'c97fffffff',
    'the same in a field': '9203c97fffffff',
    'an extension as a frame': 'd40500',
  }
  for (const [why, text] of Object.entries(bad)) refuses(t, fromHex(text), why)
})

t.test('a claimed size or depth costs what the bytes cost', async (t) => {
  const claims = [
    'ddffffffff',
    '92ddffffffff',
    '9203dbffffffff',
    `9a0a01a9${hex(Buffer.from('g12345678'))}0100010100c2ddffffffff`,
    '94201f92a173ddffffffff',
  ].map((text) => Buffer.concat([fromHex(text), new Uint8Array(65536 - text.length / 2)]))
  const before = process.memoryUsage()
  for (const claim of claims) refuses(t, claim, hex(claim.subarray(0, 12)))
  const million = new Uint8Array(1_000_000)
  for (const byte of [0x91, 0x81, 0xdd, 0xdf]) {
    refuses(t, million.fill(byte), `a million of ${byte.toString(16)}`)
    const inUnknown = Buffer.concat([fromHex('92cd03e7'), million])
    refuses(t, inUnknown, 'in a frame that is not known')
    const inBody = Buffer.concat([fromHex('9216'), million])
    refuses(t, inBody, 'in a frame that is')
  }
  const after = process.memoryUsage()
  t.ok(after.arrayBuffers - before.arrayBuffers < 2 ** 25)
  t.ok(after.heapUsed - before.heapUsed < 2 ** 26)
})

t.test('the largest message that is legal is read', async (t) => {
  const frame = fromHex('dcfffc cd03e7')
  const bytes = new Uint8Array(65536 + 2).fill(0xc0)
  bytes.set(frame)
  t.strictSame(readFrames(bytes.subarray(0, 6 + 65531)), [{ name: undefined, type: 999, req: 0 }])
  const pings = Buffer.concat(Array.from({ length: 16384 }, () => fromHex('920305')))
  t.equal(readFrames(pings).length, 16384)
})

t.test('nesting is counted from the frame, in known fields too', async (t) => {
  const event = (levels: number) => {
    const body = fromHex(`${'91'.repeat(levels)}01`)
    return encodeFrame('event', { ...(leastFrame('event') as Frame<'event'>), body })
  }
  t.match(one(event(MAX_DEPTH - 1)), { name: 'event' })
  refuses(t, event(MAX_DEPTH), 'a body one level too deep')
  const page = (levels: number) =>
    encodeFrame('page', {
      ...(leastFrame('page') as Frame<'page'>),
      events: [fromHex(`${'91'.repeat(levels)}01`)],
    })
  t.match(one(page(MAX_DEPTH - 2)), { name: 'page' })
  refuses(t, page(MAX_DEPTH - 1), 'an event in a page one level too deep')
  const cursor = (levels: number) =>
    fromHex(`93 ${FRAMES.sync.type.toString(16)} 01 93 a173 05 ${'91'.repeat(levels)}01`)
  t.match(one(cursor(MAX_DEPTH - 2)), { name: 'sync' })
  refuses(t, cursor(MAX_DEPTH - 1), 'an unknown field of a record one level too deep')
})

t.test('a kept value does not pin or follow the message it came in', async (t) => {
  const event = { ...(leastFrame('event') as Frame<'event'>), body: fromHex('91a3616263') }
  const bytes = encodeFrame('event', event)
  const read = one(bytes) as Frame<'event'>
  bytes.fill(0)
  t.equal(hex(read.body), '91a3616263')
  t.ok(read.body.buffer.byteLength < bytes.length)
})

t.test('another MessagePack implementation reads the same frames', async () => {
  const plain = (field: Wire, value: unknown): unknown => {
    switch (field.wire) {
      case 'uint':
        return BigInt(value as number)
      case 'raw':
        return unpack(value as Uint8Array)
      case 'nullable':
        return value === null ? null : plain(field.inner, value)
      case 'list':
        return (value as unknown[]).map((item) => plain(field.inner, item))
      case 'record':
        return Object.entries(field.fields).map(([key, inner]) =>
          plain(inner, (value as Record<string, unknown>)[key]),
        )
      default:
        return value
    }
  }
  const big = (field: Wire, value: unknown): unknown => {
    switch (field.wire) {
      case 'uint':
      case 'id64':
        return BigInt(value as number | bigint)
      case 'nullable':
        return value === null ? null : big(field.inner, value)
      case 'list':
        return (value as unknown[]).map((item) => big(field.inner, item))
      case 'record':
        return Object.values(field.fields).map((inner, i) => big(inner, (value as unknown[])[i]))
      default:
        return value
    }
  }
  fc.assert(
    fc.property(frames(), (frame) => {
      const [type, ...fields] = unpack(encode(frame))
      assert.equal(type, FRAMES[frame.name].type)
      const layout: Wire = { wire: 'record', fields: fieldsOf(frame.name) }
      assert.deepEqual(big(layout, fields), plain(layout, frame))
    }),
    { numRuns: 300 },
  )
})

t.test('any bytes either are frames or are a BadFrame', async () => {
  fc.assert(
    fc.property(
      frames(),
      fc.array(fc.tuple(fc.nat(), uints(255)), { maxLength: 4 }),
      (frame, hits) => {
        const bytes = encode(frame)
        for (const [at, byte] of hits) bytes[at % bytes.length] = byte
        try {
          readFrames(bytes)
        } catch (error) {
          assert.ok(error instanceof BadFrame, `${error}`)
        }
      },
    ),
    { numRuns: 2000 },
  )
})

t.test('a single value is read and written by its field', async () => {
  const fields = FRAME_NAMES.flatMap((name) => Object.values(fieldsOf(name)))
  fc.assert(
    fc.property(fc.constantFrom(...fields), (field) => {
      const writer = new Writer()
      writeValue(writer, field, least(field))
      assert.deepEqual(readValue(new Reader(writer.take()), field), least(field))
    }),
  )
})
