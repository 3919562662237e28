import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { parseRoomId } from '../../ids.ts'
import { keptKey, stamped } from './keys.ts'
import { levelHistory } from './level-history.ts'
import { openLevel } from './open.ts'

const room = parseRoomId('gdrop-room')!
const text = new TextDecoder()
const rows = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, n) => ({
    room,
    seq: first + n,
    frame: new TextEncoder().encode(`event ${first + n}`),
  }))
const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, n) => first + n)

/** Lets a process append and drop until it has said `count` floors, and kills it; returns its last floor and head. */
const killed = async (t: Test, directory: string, count: number) => {
  const child: ChildProcess = spawn(
    process.execPath,
    [fileURLToPath(new URL('drop.fixture.ts', import.meta.url)), directory],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout! })
  const enough = Promise.withResolvers<void>()
  let said = 0
  let floor = 0
  let head = 0
  lines.on('line', (line) => {
    const [one = 0, other = 0] = line.split(' ').map(Number)
    floor = one
    head = other
    if (++said === count) {
      child.kill('SIGKILL')
      enough.resolve()
    }
  })
  child.once('exit', () => enough.reject(new Error('the writer ended by itself')))
  const ended = Promise.all([once(child, 'exit'), once(lines, 'close')])
  await enough.promise
  await ended
  return { floor, head }
}

t.test(
  'kill -9 amid drops: the floor holds, what is above is whole, the next drop ends it',
  async (t) => {
    const directory = join(t.testdir(), 'data')
    let last = 1
    for (const count of [4, 31, 12]) {
      const { floor, head } = await killed(t, directory, count)
      const history = levelHistory(await openLevel(directory))
      const kept = await history.kept(room)
      t.ok(kept >= floor && kept >= last, `floor ${kept} after ${floor}`)
      last = kept
      const found = await history.page(room, 1, Number.MAX_SAFE_INTEGER)
      const stored = (await history.floor(0)) * 50
      t.ok(stored >= head)
      t.same(
        found.map(({ seq }) => seq),
        range(kept, stored),
      )
      t.ok(found.every(({ seq, frame }) => text.decode(frame) === `event ${seq}`))
      await history.drop(room, kept)
      t.same(await history.spans(undefined, 2), [{ room, first: kept, last: stored }])
      await history.close()
    }
  },
)

t.test('a crash right after the floor leaves rows that only `spans` shows', async (t) => {
  const database = await openLevel(join(t.testdir(), 'data'))
  const history = levelHistory(database)
  t.teardown(() => history.close())
  await history.append(rows(1, 200), 0, 1)
  const value = stamped(101, new Uint8Array())
  await database.commit([{ type: 'raise', key: keptKey(room), value }])
  t.equal(await history.kept(room), 101)
  t.equal((await history.page(room, 1, 200))[0]!.seq, 101)
  t.same(await history.spans(undefined, 1), [{ room, first: 1, last: 200 }])
  await history.drop(room, 101)
  t.same(await history.spans(undefined, 1), [{ room, first: 101, last: 200 }])
})

t.test('whoever reads meanwhile sees a beginning, never a hole', async (t) => {
  const database = await openLevel(join(t.testdir(), 'data'))
  const writer = levelHistory(database)
  const reader = levelHistory(database)
  t.teardown(async () => {
    await writer.close()
    await reader.close()
  })
  const LAST = 3000
  for (let first = 1; first < LAST; first += 20)
    await writer.append(rows(first, first + 19), 0, first)
  let dropping = true
  const drops = async () => {
    for (let below = 2; below <= LAST; below += 37) await writer.drop(room, below)
  }
  const dropped = drops().finally(() => {
    dropping = false
  })
  let reads = 0
  const wrong: string[] = []
  while (dropping) {
    const page = await reader.page(room, 1, LAST)
    const kept = await reader.kept(room)
    const seqs = page.map(({ seq }) => seq).filter((seq) => seq >= kept)
    if (seqs.length !== LAST - kept + 1) wrong.push(`${seqs.length} from ${kept}`)
    reads++
  }
  await dropped
  t.same(wrong, [])
  t.ok(reads > 3, `${reads} reads`)
})
