import fc from 'fast-check'
import t from 'tap'
import { Usage } from './failure.ts'
import { linesOf, messagesOf } from './lines.ts'

const encoder = new TextEncoder()

/** The bytes of `text`, cut into chunks of these sizes. */
async function* chunksOf(text: string | Uint8Array, sizes: readonly number[] = []) {
  const bytes = typeof text === 'string' ? encoder.encode(text) : text
  let at = 0
  for (let turn = 0; at < bytes.length; turn++) {
    const size = Math.max(1, sizes[turn % Math.max(1, sizes.length)] ?? bytes.length)
    yield bytes.subarray(at, at + size)
    at += size
  }
}

const read = async (text: string | Uint8Array, sizes: readonly number[] = []) => {
  const messages: string[] = []
  const reading = messagesOf(linesOf(chunksOf(text, sizes)))
  let next = await reading.next()
  for (; next.done !== true; next = await reading.next()) messages.push(next.value)
  return { messages, missing: next.value }
}

t.test('a line is a message', async (t) => {
  t.strictSame((await read('one\ntwo\r\nthree')).messages, ['one', 'two\r', 'three'])
  t.strictSame((await read('one\n')).messages, ['one'])
  t.strictSame((await read('')).messages, [])
  t.strictSame((await read('\ufeffone\n')).messages, ['\ufeffone'], 'a mark at the start is text')
})

t.test('empty lines travel with the line before them, or the one after', async (t) => {
  t.strictSame((await read('one\n\n\ntwo\n')).messages, ['one\n\n', 'two'])
  t.strictSame((await read('\n\none\n\n')).messages, ['\n\none\n'])
  t.strictSame(await read('\n\n\n'), { messages: ['\n\n'], missing: 0 })
  t.strictSame(await read('\n'), { messages: [], missing: 1 }, 'one alone cannot, and that is told')
})

t.test('printed back, any text is the same, however it comes in pieces', async () => {
  const line = fc.constantFrom('', '', 'a', 'ü', '👩‍👧 family', 'שלום', '漢字', '\r', ' ')
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 }),
      async (lines, sizes) => {
        const text = lines.map((one) => `${one}\n`).join('')
        const { messages, missing } = await read(text, sizes)
        const printed = messages.map((one) => `${one}\n`).join('') + '\n'.repeat(missing)
        if (printed !== text)
          throw new Error(`${JSON.stringify(printed)} for ${JSON.stringify(text)}`)
        if (messages.includes('')) throw new Error('an empty message')
      },
    ),
    { numRuns: 50 },
  )
})

t.test('a line is not kept back while nothing follows', async (t) => {
  const gate = Promise.withResolvers<void>()
  async function* slow() {
    yield encoder.encode('now\n')
    await gate.promise
    yield encoder.encode('\nlater\n')
  }
  const reading = messagesOf(linesOf(slow()))
  t.strictSame(await reading.next(), { value: 'now', done: false }, 'before the next chunk')
  gate.resolve()
  t.strictSame(await reading.next(), { value: '\nlater', done: false })
  t.strictSame(await reading.next(), { value: 0, done: true })
})

t.test('what is not UTF-8, or endless, is refused with its line', async (t) => {
  await t.rejects(read(Uint8Array.from([0x61, 0x0a, 0xff, 0x0a])), Usage)
  await t.rejects(read(Uint8Array.from([0x61, 0x0a, 0xe2, 0x82])), /Line 2 /, 'cut off at the end')
  await t.rejects(read('x'.repeat(3_000_000), [65_536]), /Line 1 .*too long/)
})
