import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { ERRORS } from '../../lib/errors.ts'
import { dmId, type UserId } from '../../lib/ids.ts'
import { encodeFrame, readFrames } from '../../lib/protocol/codec.ts'
import { FRAMES, type Frame, type FrameName } from '../../lib/protocol/frames.ts'
import { POINTER } from '../../lib/protocol/pointer.ts'
import { Writer } from '../../lib/protocol/writer.ts'
import { FRAME_GENERATORS, typeOf } from './docs-frames.ts'

const root = resolve(import.meta.dirname, '../..')
const doc = readFileSync(join(root, 'docs/PROTOCOL.md'), 'utf8')
const blocks = [...doc.matchAll(/^```text\n(.*?)^```$/gms)].map((match) => match[1]!)
const names = Object.keys(FRAMES) as FrameName[]

/** What stands before the `#` of each line. */
const bytesOf = (block: string): Buffer =>
  Buffer.from(block.replace(/#.*$/gm, '').replace(/\s/g, ''), 'hex')

const examples = blocks.flatMap((block) => {
  const name = /^# (\w+)/.exec(block)?.[1]
  return name === undefined ? [] : [{ name: name as FrameName, block }]
})

t.test('the bytes in PROTOCOL.md are the frames that they are said to be', async (t) => {
  t.strictSame(new Set(examples.map(({ name }) => name)), new Set(names), 'every frame is shown')
  for (const { name, block } of examples) {
    const bytes = bytesOf(block)
    const [frame, ...more] = readFrames(bytes)
    t.equal(frame?.name, name)
    t.strictSame(more, [])
    const again = encodeFrame(name, frame as unknown as Frame<never>)
    t.equal(Buffer.from(again).toString('hex'), bytes.toString('hex'), name)
  }
})

t.test('the integers in PROTOCOL.md are written so', async (t) => {
  const rows = [...doc.matchAll(/^\| (\d+) \| \S.* \| `([0-9a-f ]+)` \|$/gm)]
  t.ok(rows.length > 15)
  for (const [, value, hex] of rows) {
    const bytes = new Writer().uint(Number(value)).take()
    t.equal(Buffer.from(bytes).toString('hex'), hex?.replaceAll(' ', ''), `${value}`)
  }
})

t.test('N5 the dm id is worked out rightly', async (t) => {
  const work = blocks.find((block) => block.includes('SHA-256'))!
  const [, one, other] = /^(\w+), (\w+) +→ +"\1\\0\2"$/m.exec(work) ?? []
  const value = (what: string) => new RegExp(`^${what} +→ +(\\S+)$`, 'm').exec(work)?.[1]
  const digest = createHash('sha256').update(`${one}\0${other}`).digest()
  t.equal(value('SHA-256'), digest.toString('hex'))
  t.equal(value('base64url'), digest.toString('base64url'))
  t.equal(value('dm id'), dmId(other as UserId, one as UserId))
})

t.test('N3 for every refusal of a command it says what to do', async (t) => {
  const start = doc.indexOf('What a refused command comes to')
  const told = doc.slice(start, doc.indexOf('"Look in the history"', start))
  // These end the session, whatever was asked.
  const ofSession = ['bad_frame', 'unknown_frame', 'unauthorized', 'token_expired', 'version']
  for (const code of Object.keys(ERRORS)) {
    if (ofSession.includes(code) || code === 'device_removed') continue
    t.ok(told.includes(`\`${code}\``), code)
  }
})

t.test('every frame and field has its place in the reference', async (t) => {
  for (const name of names) {
    const { type, fields } = FRAMES[name]
    const anchor = `#### ${name} (${type})\n`
    t.ok(doc.includes(anchor), name)
    const section = doc.slice(doc.indexOf(anchor) + anchor.length).split('\n#', 1)[0]!
    for (const key of Object.keys(fields)) t.ok(section.includes(`| \`${key}\` |`), key)
  }
})

t.test('links lead somewhere', async (t) => {
  const slug = (title: string) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-')
  const anchors = new Set([
    ...[...doc.matchAll(/^#+ (.*)$/gm)].map((match) => slug(match[1]!)),
    ...[...doc.matchAll(/<a id="([^"]+)">/g)].map((match) => match[1]!),
  ])
  for (const [, link] of doc.matchAll(/\]\(#([^)]+)\)/g)) t.ok(anchors.has(link!), `#${link}`)
})

t.test('types are shown as people read them', async (t) => {
  t.equal(typeOf(POINTER as never), '[pointer](#pointer)')
  const sync = FRAMES.sync.fields as never as Record<string, Parameters<typeof typeOf>[0]>
  t.equal(typeOf(sync.cursor!), '[stream, position] or nil')
  const fetch = FRAMES.fetch.fields as never as typeof sync
  t.equal(typeOf(fetch.limit!), 'uint ≤ 256')
  t.match(FRAME_GENERATORS.examples!(), /\[31, 10, "d0C4.*\[\[22, "d0C4/, 'pages show their frames')
})
