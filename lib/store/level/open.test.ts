import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { ClassicLevel } from 'classic-level'
import t, { type Test } from 'tap'
import { parseRoomId, parseUserId } from '../../ids.ts'
import { metaKey } from './keys.ts'
import { levelHistory } from './level-history.ts'
import { levelState } from './level-state.ts'
import { openLevel } from './open.ts'

const room = parseRoomId('gcrash-room')!
const user = parseUserId('ucrash')!
const text = new TextDecoder()

/** Starts a writer on `directory` and resolves once it has said `count` positions. */
const writer = async (t: Test, directory: string, count: number) => {
  const child: ChildProcess = spawn(
    process.execPath,
    [fileURLToPath(new URL('crash.fixture.ts', import.meta.url)), directory],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  t.teardown(() => child.kill('SIGKILL'))
  const said: number[] = []
  const lines = createInterface({ input: child.stdout! })
  const enough = Promise.withResolvers<void>()
  lines.on('line', (line) => {
    said.push(Number(line))
    if (said.length === count) enough.resolve()
  })
  child.once('exit', () => enough.reject(new Error('the writer ended by itself')))
  await enough.promise
  const kill = async () => {
    const ended = Promise.all([once(child, 'exit'), once(lines, 'close')])
    child.kill('SIGKILL')
    await ended
    return said
  }
  return { kill }
}

t.test('kill -9 of a writer loses nothing that was resolved', async (t) => {
  const directory = join(t.testdir(), 'data')
  let floor = 0
  for (const count of [3, 50, 20]) {
    const { kill } = await writer(t, directory, count)
    const said = await kill()
    t.equal(said[0], floor + 1, 'it went on where the stored floor was')

    const database = await openLevel(directory)
    const history = levelHistory(database)
    const state = levelState(database)
    floor = await history.floor(0)
    t.ok(floor >= said.at(-1)!, `floor ${floor} covers ${said.at(-1)}`)
    const rows = await history.page(room, 1, Number.MAX_SAFE_INTEGER)
    t.equal(rows.length, floor * 10, 'rows and floor are one step')
    t.ok(rows.every(({ seq, frame }, n) => seq === n + 1 && text.decode(frame) === `event ${seq}`))
    const snapshot = await state.room(room)
    t.ok(snapshot!.position >= said.at(-1)!)
    t.equal(text.decode(snapshot!.state), `state ${snapshot!.position}`)
    const [row] = await state.user(user)
    t.ok(row!.position >= said.at(-1)!)
    await history.close()
    await state.close()
  }
})

t.test('another process that holds the database is named as the reason', async (t) => {
  const directory = join(t.testdir(), 'data')
  const { kill } = await writer(t, directory, 1)
  await t.rejects(openLevel(directory), {
    code: 'unavailable',
    message: `${directory} is in use by another process: stop that one, or choose another data directory`,
  })
  await kill()
  const database = await openLevel(directory)
  t.ok(database, 'a killed process leaves no lock behind')
  await database.hold()()
})

t.test('a second opening in the same process is refused', async (t) => {
  const directory = join(t.testdir(), 'data')
  const first = await openLevel(directory)
  await t.rejects(openLevel(directory), { code: 'unavailable', message: /in use/ })
  const history = levelHistory(first)
  await history.append([], 0, 1)
  t.equal(await history.floor(0), 1, 'the first one is unharmed')
  await history.close()
})

t.test('the files close with the last store', async (t) => {
  const directory = join(t.testdir(), 'data')
  const database = await openLevel(directory)
  const history = levelHistory(database)
  const state = levelState(database)
  const written = history.append([], 0, 4)
  await history.close()
  await written
  await state.savePartition('p', 1, new Uint8Array())
  t.equal((await state.partition('p'))?.position, 1, 'one store may outlive the other')
  await history.close()
  t.equal((await state.partition('p'))?.position, 1, 'closing twice counts once')
  await state.close()
  const again = levelHistory(await openLevel(directory))
  t.equal(await again.floor(0), 4)
  await again.close()
})

t.test('a database of another layout is refused', async (t) => {
  const directory = join(t.testdir(), 'data')
  await (await openLevel(directory)).hold()()
  const raw = new ClassicLevel<Uint8Array, string>(directory, { keyEncoding: 'view' })
  await raw.put(metaKey('format'), '1')
  await raw.close()
  await t.rejects(openLevel(directory), { code: 'unavailable', message: /layout 1/ })
})

t.test('a damaged or impossible directory is refused with the reason', async (t) => {
  const directory = t.testdir()
  const damaged = join(directory, 'damaged')
  await (await openLevel(damaged)).hold()()
  writeFileSync(join(damaged, 'CURRENT'), 'nonsense')
  await t.rejects(openLevel(damaged), { code: 'unavailable', message: /damaged/ })

  const file = join(directory, 'file')
  writeFileSync(file, '')
  await t.rejects(openLevel(file), { code: 'unavailable', message: /cannot be opened/ })
  mkdirSync(join(directory, 'empty'))
  const made = await openLevel(join(directory, 'empty'))
  t.ok(made, 'an empty directory will do')
  await made.hold()()
})
