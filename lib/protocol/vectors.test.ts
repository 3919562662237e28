import t from 'tap'
import { dmId } from '../ids.ts'
import { FRAME_NAMES } from '../testing/frames.ts'
import { encodeFrame, readFrames } from './codec.ts'
import type { Frame } from './frames.ts'
import { isSend, readHead, readSend } from './hot.ts'
import { Reader } from './reader.ts'
import { EXAMPLES } from './vectors.ts'

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

t.test('every frame is written and read as in its example', async (t) => {
  for (const { name, note, frame, hex } of EXAMPLES) {
    t.equal(toHex(encodeFrame(name, frame as Frame<never>)), hex, `${name} ${note}`)
    const read = readFrames(Buffer.from(hex, 'hex'))
    t.equal(read.length, 1)
    t.same({ ...read[0] }, { name, ...frame }, `${name} ${note}`)
  }
})

t.test('there is an example of every frame, in the order of the table', async (t) => {
  t.strictSame([...new Set(EXAMPLES.map((example) => example.name))], FRAME_NAMES)
})

t.test('the examples agree with each other', async (t) => {
  for (const { name, frame, hex } of EXAMPLES) {
    if (name !== 'send') continue
    const bytes = Buffer.from(hex, 'hex')
    const reader = new Reader(bytes)
    const { length, type } = readHead(reader)
    t.ok(isSend(type))
    const send = readSend(reader, bytes, length)
    t.equal(send.textBytes, Buffer.byteLength(frame.text))
    if (send.peer !== null) t.equal(send.room, dmId('uAda' as typeof send.peer, send.peer))
  }
})
