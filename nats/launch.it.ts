import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { eventually } from '../lib/testing/eventually.ts'
import { type LaunchOptions, launchNats, type NatsServer } from './launch.ts'
import { isAlive } from './orphan.ts'

const launch = async (t: Test, options: Partial<LaunchOptions> = {}): Promise<NatsServer> => {
  const { dataDir = t.testdir(), ...rest } = options
  const server = await launchNats({ dataDir, port: 0, ...rest })
  t.teardown(() => server.stop())
  return server
}

const addStream = async (url: string): Promise<void> => {
  const nc = await connect({ servers: url })
  const jsm = await jetstreamManager(nc)
  await jsm.streams.add({ name: 'KEPT', subjects: ['kept'] })
  const { seq } = await jsm.jetstream().publish('kept', 'something')
  if (seq !== 1) throw new Error(`stored as ${seq}`)
  await nc.close()
}

const storedMessages = async (url: string): Promise<number> => {
  const nc = await connect({ servers: url })
  const jsm = await jetstreamManager(nc)
  const { state } = await jsm.streams.info('KEPT')
  await nc.close()
  return state.messages
}

/** A program that launches nats-server on `dataDir`; its first line is the server's pid and URL. */
const PROGRAM = `
  const { launchNats } = await import(${JSON.stringify(import.meta.resolve('./launch.ts'))})
  const [dataDir, mode] = process.argv.slice(1)
  const server = await launchNats({ dataDir, port: 0 })
  console.log(JSON.stringify({ pid: server.pid, url: server.url }))
  if (mode === 'end') process.exitCode = 0
  else if (mode === 'drain') {
    const stay = setInterval(() => {}, 1000)
    process.once('SIGINT', async () => {
      const { ok } = await fetch('http://127.0.0.1:' + server.monitorPort + '/healthz')
      console.log(JSON.stringify({ drained: ok }))
      await server.stop()
      clearInterval(stay)
    })
  } else setInterval(() => {}, 1000)
`

const other = async (
  t: Test,
  dataDir: string,
  mode: 'end' | 'drain' | 'stay',
): Promise<{ child: ChildProcess; line: () => Promise<Record<string, unknown>> }> => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, dataDir, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  return {
    child,
    line: async () => JSON.parse((await lines.next()).value ?? '{}') as Record<string, unknown>,
  }
}

t.test('starts healthy, on loopback only, and stops', async (t) => {
  const lines: string[] = []
  const server = await launch(t, { say: (line) => lines.push(line) })
  t.match(server.url, /^nats:\/\/127\.0\.0\.1:\d+$/)
  await addStream(server.url)
  const varz = (await (
    await fetch(`http://127.0.0.1:${server.monitorPort}/varz`)
  ).json()) as Record<string, unknown>
  t.match(varz, { host: '127.0.0.1', http_host: '127.0.0.1', max_payload: 1024 * 1024 })
  t.match(varz, { jetstream: { config: { max_storage: 64 * 1024 ** 3, sync_interval: 120e9 } } })
  t.match(lines.join('\n'), /using nats-server \S+ at .*\n.*listens at/)

  const { pid } = server
  await server.stop()
  t.equal(server.pid, undefined)
  t.notOk(isAlive(pid!))
  await server.stop()
})

t.test('sync always reaches the server', async (t) => {
  const server = await launch(t, { sync: 'always', maxStoreBytes: 1024 ** 3 })
  const response = await fetch(`http://127.0.0.1:${server.monitorPort}/jsz?config=true`)
  t.match(await response.json(), { config: { sync_always: true, max_storage: 1024 ** 3 } })
})

t.test('a supervised server comes back on its port with its data after kill -9', async (t) => {
  const lines: string[] = []
  const server = await launch(t, { supervise: true, say: (line) => lines.push(line) })
  const ends: unknown[] = []
  const forget = server.onExit((exit) => ends.push(exit))
  await addStream(server.url)
  for (let round = 1; round <= 2; round++) {
    const { pid } = server
    process.kill(pid!, 'SIGKILL')
    const back = () => lines.filter((line) => line.includes('is back')).length === round
    await eventually('the server is back', back)
    t.not(server.pid, pid)
    t.equal(await storedMessages(server.url), 1, 'on the same port, with its data')
    t.equal(ends.length, round)
  }
  t.match(ends, [{ signal: 'SIGKILL', unexpected: true }])
  t.match(lines.join('\n'), /ended \(SIGKILL\); starting it again in \d+ ms/)
  forget()
  await server.stop()
  t.equal(ends.length, 2)
})

t.test('stop while it is on its way back leaves nothing behind', async (t) => {
  const server = await launch(t, { supervise: true })
  await server.kill()
  await server.stop()
  t.equal(server.pid, undefined)
  const dead = await new Promise((resolve) => {
    const socket = createConnection(server.port, '127.0.0.1')
    socket.once('error', () => resolve(true))
    socket.once('connect', () => resolve(false))
  })
  t.equal(dead, true)
})

t.test('an unsupervised one stays down until it is started again', async (t) => {
  const server = await launch(t)
  await addStream(server.url)
  const { port } = server
  await t.rejects(server.start(), { message: /started already/ })
  await server.kill()
  t.equal(server.pid, undefined)
  await server.start()
  t.equal(server.port, port)
  t.equal(await storedMessages(server.url), 1)
  server.pause()
  await server.stop()
  t.equal(server.pid, undefined, 'a paused one stops too')
})

t.test('a given port is used, and one that is taken is an error with the reason', async (t) => {
  const first = await launch(t)
  const { port } = first
  const dataDir = t.testdir({ second: {} })
  await t.rejects(launchNats({ dataDir: join(dataDir, 'second'), port, startMs: 5_000 }), {
    message: /ended at once[\s\S]*address already in use/,
  })
  await first.stop()
  const second = await launch(t, { dataDir: join(dataDir, 'second'), port })
  t.equal(second.port, port)
})

t.test('a server left over by a killed process is stopped before ours starts', async (t) => {
  const dataDir = t.testdir()
  const { child, line } = await other(t, dataDir, 'stay')
  const left = (await line()) as { pid: number; url: string }
  await addStream(left.url)
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.ok(isAlive(left.pid), 'it outlives its parent')

  const lines: string[] = []
  const server = await launch(t, { dataDir, say: (line) => lines.push(line) })
  t.notOk(isAlive(left.pid))
  t.match(lines.join('\n'), `stopping nats-server ${left.pid}`)
  t.equal(await storedMessages(server.url), 1)
})

t.test('a data directory in use is refused, and its server left alone', async (t) => {
  const server = await launch(t)
  const { pid } = server
  const dataDir = t.testdirName
  const config = await readFile(join(dataDir, 'nats-server.conf'), 'utf8')
  await t.rejects(launchNats({ dataDir, port: 0 }), { message: /in use: process \d+ runs/ })
  t.equal(server.pid, pid)
  t.equal(await readFile(join(dataDir, 'nats-server.conf'), 'utf8'), config)
})

t.test('a pid file that names a stranger harms nobody', async (t) => {
  const dataDir = t.testdir({ 'nats-server.pid': `${process.pid}` })
  await launch(t, { dataDir })
  t.pass('still here')
})

t.test('the server ends with its parent’s normal exit', async (t) => {
  const { child, line } = await other(t, t.testdir(), 'end')
  const ended = once(child, 'exit')
  const { pid } = (await line()) as { pid: number }
  t.strictSame(await ended, [0, null], 'and does not keep it from ending')
  await eventually('nats-server is gone', () => !isAlive(pid))
})

t.test('Ctrl-C reaches the parent alone, so that it can drain', async (t) => {
  const { child, line } = await other(t, t.testdir(), 'drain')
  const { pid } = (await line()) as { pid: number }
  process.kill(-child.pid!, 'SIGINT')
  t.strictSame(await line(), { drained: true })
  await once(child, 'exit')
  t.notOk(isAlive(pid))
})
