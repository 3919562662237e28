import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { dmId, newGroupId, newUserId } from '../../lib/ids.ts'
import { encodeFrame, readFrames } from '../../lib/protocol/codec.ts'
import { readHead, readSend } from '../../lib/protocol/hot.ts'
import { Reader } from '../../lib/protocol/reader.ts'
import { uints } from '../../lib/testing/frames.ts'
import { FIRST_REQ, SendFrame } from './send-frame.ts'
import { dueIn, laneIn, nIn, TAG_BYTES, textOf } from './tag.ts'

const [ann, bob] = [newUserId(), newUserId()]
const U32 = 0xffffffff

/** The payload of one masked WebSocket message, and the bytes that it took. */
const unwrap = (bytes: Uint8Array, end: number): Uint8Array => {
  assert.equal(bytes[0], 0x82, 'one binary message')
  let length = bytes[1]! & 0x7f
  assert.ok((bytes[1]! & 0x80) !== 0, 'masked')
  let at = 2
  if (length === 126) {
    length = (bytes[2]! << 8) | bytes[3]!
    at = 4
  }
  const mask = bytes.subarray(at, at + 4)
  const payload = bytes.subarray(at + 4, at + 4 + length).map((byte, i) => byte ^ mask[i & 3]!)
  assert.equal(at + 4 + length, end, 'the header tells the length')
  return payload
}

const numbers = fc.record({
  req: fc.integer({ min: FIRST_REQ, max: U32 }),
  n: uints(U32).filter((n) => n > 0),
  low: uints(U32).filter((low) => low > 0),
  due: fc.integer({ min: 0, max: 2 ** 46 }),
  lane: fc.integer({ min: 0, max: 2 ** 24 - 1 }),
  lineage: uints(Number.MAX_SAFE_INTEGER),
  join: uints(U32),
  textBytes: fc.oneof(fc.integer({ min: TAG_BYTES, max: 40 }), fc.constantFrom(100, 1000)),
  dm: fc.boolean(),
})

t.test('a frame written ahead is the frame that the codec writes', async () => {
  fc.assert(
    fc.property(numbers, ({ req, n, low, due, lane, lineage, join, textBytes, dm }) => {
      const room = dm ? dmId(ann, bob) : newGroupId()
      const peer = dm ? bob : null
      const frame = new SendFrame({ room, lineage, join, textBytes, peer, lane })
      const into = new Uint8Array(frame.most)
      const end = frame.write(into, 0, req, n, low, due)
      const payload = unwrap(into, end)
      const [read, ...more] = readFrames(payload)
      assert.equal(more.length, 0)
      assert.ok(read?.name === 'send')
      const { text, ...rest } = read
      const expected = {
        name: 'send',
        req,
        room,
        lineage,
        join,
        n,
        low,
        peer: n === 1 ? peer : null,
      }
      assert.deepEqual(rest, expected)
      assert.deepEqual(
        Buffer.from(payload),
        Buffer.from(encodeFrame('send', read)),
        'smallest forms',
      )
      const bytes = Buffer.from(text)
      assert.equal(bytes.length, textBytes)
      assert.equal(text.slice(TAG_BYTES), textOf(textBytes).slice(TAG_BYTES))
      assert.deepEqual([laneIn(bytes, 0), nIn(bytes, 0), dueIn(bytes, 0)], [lane, n, due])
    }),
  )
})

t.test('a resend is the same command to the server, whatever its request number', async (t) => {
  const room = dmId(ann, bob)
  const frame = new SendFrame({ room, lineage: 77, join: 0, textBytes: 100, peer: bob, lane: 3 })
  const hashOf = (req: number, n: number, low: number, due: number): number => {
    const into = new Uint8Array(frame.most)
    const payload = unwrap(into, frame.write(into, 0, req, n, low, due))
    const reader = new Reader(payload)
    return readSend(reader, payload, readHead(reader).length).hash
  }
  t.equal(hashOf(FIRST_REQ, 1, 1, 5), hashOf(FIRST_REQ + 9, 1, 1, 5))
  t.equal(hashOf(FIRST_REQ, 300, 290, 5), hashOf(U32, 300, 290, 5))
  t.not(hashOf(FIRST_REQ, 300, 290, 5), hashOf(FIRST_REQ, 301, 290, 5))
})

t.test('several frames stand behind each other in one buffer', async (t) => {
  const room = newGroupId()
  const frame = new SendFrame({ room, lineage: 1, join: 9, textBytes: 100, peer: null, lane: 0 })
  const into = new Uint8Array(3 * frame.most)
  const first = frame.write(into, 0, FIRST_REQ, 1, 1, 1)
  const second = frame.write(into, first, FIRST_REQ + 1, 2, 1, 2)
  t.equal(readFrames(unwrap(into, first)).length, 1)
  t.match(readFrames(unwrap(into.subarray(first), second - first)), [{ name: 'send', n: 2 }])
})

t.test('a text too short for a tag is refused', async (t) => {
  t.throws(() => textOf(TAG_BYTES - 1), { message: /18 bytes at least/ })
})
