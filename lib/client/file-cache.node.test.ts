import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { DeviceId, RoomId, UserId } from '../ids.ts'
import type { Pointer } from '../protocol/frames.ts'
import type { Account } from './cache.ts'
import type { Entry } from './events.ts'
import { FileCache } from './file-cache.node.ts'
import { memoryCache } from './memory-cache.ts'
import { type Change, changesOf } from './saved.ts'

const room = 'groom-of-two' as RoomId
const user = 'uben' as UserId
const message = (seq: number): Entry => ({
  ...{
    kind: 'message',
    room,
    seq,
    ord: seq,
    id: `${seq}`,
    time: seq,
    sender: user,
    text: `t${seq} ü👋`,
  },
})
const pointer = (version: number): Pointer => ({
  ...{ room, version, head: version, ord: 1, time: 1, read: 0, readOrd: 0, from: 1, join: 0 },
  ...{ role: 0, flags: 0, title: 'x', sender: user, preview: null },
})
const put = (key: number): Change => ({
  op: 'put',
  item: { key, after: 0, at: 0, command: { name: 'send', room, text: `t${key}`, peer: null } },
})
const number = (key: number, n: number): Change => ({
  op: 'number',
  key,
  numbering: { lineage: 7, join: 0, n, tail: 'YQ==' },
})

const folder = async (test: Pick<Test, 'teardown'>): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'parley-cache-'))
  test.teardown(() => rm(path, { recursive: true, force: true }))
  return join(path, 'profile')
}
const opened = async (path: string, lasting = true): Promise<FileCache> => {
  const cache = new FileCache(path)
  await cache.open(lasting)
  return cache
}

t.test('what was written is there for the next process', async (t) => {
  const path = await folder(t)
  const cache = await opened(path)
  await cache.write([put(1), number(1, 1), { op: 'pointer', pointer: pointer(3) }])
  await cache.keep(room, [message(2), message(1)])
  await cache.keep(room, [message(2), { room, kind: 'hidden', first: 3, last: 5 }])
  await cache.close()
  const next = await opened(path)
  t.strictSame(changesOf(next.saved), changesOf(cache.saved))
  t.strictSame(await next.events(room, 1, 9), [
    message(1),
    message(2),
    { room, kind: 'hidden', first: 3, last: 5 },
  ])
  t.match(await next.events(room, 2, 2), [{ seq: 2 }])
})

t.test('B1 after a crash at any byte: a prefix of the writes, each whole', async (t) => {
  const path = await folder(t)
  const cache = await opened(path)
  const writes: Change[][] = [
    [{ op: 'lineage', lineage: 7 }],
    [put(1), put(2)],
    [number(1, 1), number(2, 2)],
    [
      { op: 'settle', key: 1 },
      { op: 'cursor', cursor: { stream: 's', position: 4 } },
    ],
  ]
  const states: string[] = [JSON.stringify(changesOf(cache.saved))]
  for (const changes of writes) {
    await cache.write(changes)
    states.push(JSON.stringify(changesOf(cache.saved)))
  }
  await cache.close()
  const file = join(path, 'state.jsonl')
  const whole = await readFile(file)
  const header = whole.indexOf('\n') + 1
  const seen = new Set<string>()
  for (let length = header; length <= whole.length; length++) {
    await writeFile(file, whole.subarray(0, length))
    const state = JSON.stringify(changesOf((await opened(path, false)).saved))
    if (!states.includes(state)) t.fail(`after ${length} bytes: ${state}`)
    seen.add(state)
  }
  t.strictSame([...seen], states, 'in their order, none left out')
})

t.test(
  'F2 a damaged file: the list is asked for anew, numbering begins in a new lineage',
  async (t) => {
    const path = await folder(t)
    const cache = await opened(path)
    await cache.write([
      put(1),
      number(1, 1),
      { op: 'cursor', cursor: { stream: 's', position: 4 } },
    ])
    await cache.write([put(2)])
    await cache.write([put(3)])
    await cache.close()
    const file = join(path, 'state.jsonl')
    const lines = (await readFile(file, 'utf8')).split('\n')
    const at = lines.findIndex((line) => line.includes('"key":2'))
    lines[at] = '\0'.repeat(20)
    await writeFile(file, lines.join('\n'))
    const next = await opened(path)
    t.equal(next.saved.cursor, null)
    t.match(next.saved.tallies.get(room), { n: 1, spent: true })
    t.strictSame([...next.saved.items.keys()], [1, 3], 'what can be read is kept')
    const again = await opened(path)
    t.match(again.saved.tallies.get(room), { spent: true }, 'and stays so')
  },
)

t.test('a value that is no change counts as damage', async (t) => {
  const path = await folder(t)
  await (await opened(path)).write([{ op: 'cursor', cursor: { stream: 's', position: 4 } }])
  const file = join(path, 'state.jsonl')
  await writeFile(file, `${await readFile(file, 'utf8')}[{"op":"lineage","lineage":"x"}]\n`)
  t.equal((await opened(path)).saved.cursor, null)
})

t.test('a file of another version is not touched', async (t) => {
  const path = await folder(t)
  await mkdir(path)
  const file = join(path, 'state.jsonl')
  await writeFile(file, '{"parley":"profile","version":2}\n')
  await t.rejects(opened(path), { code: 'version' })
  t.equal(await readFile(file, 'utf8'), '{"parley":"profile","version":2}\n')
})

t.test('a client that only reads changes nothing', async (t) => {
  const path = await folder(t)
  await (await opened(path)).write([put(1)])
  const before = await readFile(join(path, 'state.jsonl'), 'utf8')
  const reader = await opened(path, false)
  await reader.write([put(2), { op: 'forget', room }])
  await reader.keep(room, [message(1)])
  t.equal(reader.saved.items.size, 2, 'it knows for itself')
  t.match(await reader.events(room, 1, 1), [{ seq: 1 }])
  await reader.close()
  t.equal(await readFile(join(path, 'state.jsonl'), 'utf8'), before)
  t.strictSame(await readdir(path), ['state.jsonl'])
})

t.test('a file that has grown is shortened, and writes go on meanwhile', async (t) => {
  const path = await folder(t)
  const cache = await opened(path)
  const writes: Promise<void>[] = []
  for (let n = 1; n <= 6_000; n++) {
    writes.push(cache.write([put(n), number(n, n)]))
    if (n > 5) writes.push(cache.write([{ op: 'settle', key: n - 5 }]))
  }
  await Promise.all(writes)
  await cache.close()
  const lines = (await readFile(join(path, 'state.jsonl'), 'utf8')).split('\n').length
  t.ok(lines < 9_000, `${lines} lines of 12,000`)
  const next = await opened(path)
  t.strictSame([...next.saved.items.keys()], [5_996, 5_997, 5_998, 5_999, 6_000])
  t.match(next.saved.tallies.get(room), { n: 6_000 })
})

t.test('events of a room: the oldest go, a damaged line is left out', async (t) => {
  const path = await folder(t)
  const cache = await opened(path)
  await cache.keep(room, [message(1), message(2), message(3)])
  await cache.close()
  const file = join(path, 'rooms', `${room}.jsonl`)
  await writeFile(file, (await readFile(file, 'utf8')).replace('"seq":2', '"seq":"2"'))
  const next = await opened(path)
  t.match(await next.events(room, 1, 9), [{ seq: 1 }, { seq: 3 }])
  const many = Array.from({ length: 41_000 }, (_, index) => message(index + 1))
  for (let at = 0; at < many.length; at += 1_000) await next.keep(room, many.slice(at, at + 1_000))
  t.ok((await next.events(room, 1, 100_000)).length <= 20_000)
  const lines = (await readFile(file, 'utf8')).split('\n').length
  t.ok(lines <= 40_000, `${lines} lines`)
  t.match((await (await opened(path)).events(room, 41_000, 41_000)).length, 1)
})

t.test('a forgotten room’s events go with it; reset forgets all but the account', async (t) => {
  const path = await folder(t)
  const cache = await opened(path)
  await cache.keep(room, [message(1)])
  await cache.write([put(1), { op: 'pointer', pointer: pointer(1) }, { op: 'forget', room }])
  t.strictSame(await cache.events(room, 1, 9), [])
  t.strictSame(await readdir(join(path, 'rooms')), [])
  await cache.saveAccount(account)
  await cache.keep(room, [message(1)])
  await cache.reset()
  t.strictSame(changesOf(cache.saved), [{ op: 'cursor', cursor: null }])
  const next = await opened(path)
  t.equal(next.saved.items.size, 0)
  t.strictSame(await next.events(room, 1, 9), [])
  t.strictSame(await next.account(), account)
})

const account: Account = {
  server: 'http://127.0.0.1:8080',
  user,
  handle: 'ben',
  device: 'vone' as DeviceId,
  access: 'a',
  accessUntil: 1,
  refresh: 'r',
}

t.test('the account: for its owner alone, seen by all clients, refused when damaged', async (t) => {
  const path = await folder(t)
  const cache = new FileCache(path)
  t.equal(await cache.account(), undefined)
  await cache.saveAccount(account)
  t.strictSame(await new FileCache(path).account(), account)
  t.equal((await stat(join(path, 'account.json'))).mode & 0o777, 0o600)
  t.equal((await stat(path)).mode & 0o777, 0o700)
  for (const damage of ['', '{', 'null', '{}', JSON.stringify({ ...account, user: '../x' })]) {
    await writeFile(join(path, 'account.json'), damage)
    await t.rejects(cache.account(), { code: 'unauthorized' }, damage)
  }
  await cache.saveAccount(undefined)
  t.equal(await cache.account(), undefined)
})

t.test('a memory cache does the same for as long as it lives', async (t) => {
  const cache = memoryCache()
  await cache.open(true)
  await cache.write([put(1), { op: 'pointer', pointer: pointer(1) }])
  await cache.keep(room, [message(1)])
  await cache.saveAccount(account)
  t.equal(cache.saved.items.size, 1)
  t.match(await cache.events(room, 1, 1), [{ seq: 1 }])
  await cache.write([{ op: 'forget', room }])
  t.strictSame(await cache.events(room, 1, 1), [])
  await cache.reset()
  t.equal(cache.saved.items.size, 0)
  t.strictSame(await cache.account(), account)
  await cache.close()
})
