import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { eventually } from '../testing/eventually.ts'
import { fileLocks, holderOf } from './file-locks.node.ts'

const folder = async (test: Pick<Test, 'teardown'>): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'parley-locks-'))
  test.teardown(() => rm(path, { recursive: true, force: true }))
  return join(path, 'profile')
}

/** Another process that takes the lock and keeps it until it is killed. */
const otherHolder = async (test: Pick<Test, 'teardown'>, path: string) => {
  const module = new URL('./file-locks.node.ts', import.meta.url).href
  const code = `import { fileLocks } from ${JSON.stringify(module)}
    const held = await fileLocks(${JSON.stringify(path)}).tryAcquire('outbox')
    console.log(held === undefined ? 'busy' : 'held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  test.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout.on('data', (chunk) => {
    said += chunk
  })
  await eventually('the other process has tried', () => said !== '')
  return { child, said: () => said.trim() }
}

t.test(
  'N6 one process at a time; a waiting one gets it, also when the holder is killed',
  async (t) => {
    const path = await folder(t)
    const { child, said } = await otherHolder(t, path)
    t.equal(said(), 'held')
    const locks = fileLocks(path)
    t.equal(await locks.tryAcquire('outbox'), undefined)
    t.equal(await holderOf(path, 'outbox'), child.pid)
    const waiting = locks.acquire('outbox', AbortSignal.timeout(20_000))
    child.kill('SIGKILL')
    await once(child, 'exit')
    const release = await waiting
    t.equal(await holderOf(path, 'outbox'), process.pid)
    const late = await otherHolder(t, path)
    t.equal(late.said(), 'busy')
    await release()
    await release()
    t.equal(await holderOf(path, 'outbox'), undefined)
    t.strictSame(await readdir(path), [], 'nothing is left behind')
  },
)

t.test('of many that find a dead holder’s lock, one gets it', async (t) => {
  const path = await folder(t)
  await mkdir(path)
  await writeFile(
    join(path, 'outbox.lock'),
    JSON.stringify({ pid: process.pid, started: 'at another time', nonce: 'x' }),
  )
  let most = 0
  let holders = 0
  const work = async () => {
    const release = await fileLocks(path).acquire('outbox', AbortSignal.timeout(20_000))
    holders++
    most = Math.max(most, holders)
    await new Promise((resolve) => setImmediate(resolve))
    holders--
    await release()
  }
  await Promise.all(Array.from({ length: 8 }, work))
  t.equal(most, 1)
})

t.test('a damaged lock file and a guard that was left are cleared away', async (t) => {
  const path = await folder(t)
  await mkdir(path)
  for (const damage of ['', '{"pid":', '{}', 'null']) {
    await writeFile(join(path, 'outbox.lock'), damage)
    const guard = join(path, 'outbox.lock.guard')
    await writeFile(guard, '')
    const old = new Date(Date.now() - 60_000)
    await utimes(guard, old, old)
    const release = await fileLocks(path).acquire('outbox', AbortSignal.timeout(20_000))
    t.match(
      JSON.parse(await readFile(join(path, 'outbox.lock'), 'utf8')),
      { pid: process.pid },
      damage,
    )
    await release()
  }
})

t.test('waiting ends with its signal', async (t) => {
  const path = await folder(t)
  const release = await fileLocks(path).tryAcquire('outbox')
  const stop = new AbortController()
  const waiting = fileLocks(path).acquire('outbox', stop.signal)
  stop.abort(new Error('enough'))
  await t.rejects(waiting, { message: 'enough' })
  await release?.()
})
