/** `parley gateway` as an operator sees it: in a process of its own, on a real nats-server that comes and goes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { connectNats } from '../../lib/bus/nats.ts'
import { withConnection } from '../../lib/bus/provisioning.ts'
import type { DeviceId, UserId } from '../../lib/ids.ts'
import { eventually } from '../../lib/testing/eventually.ts'
import { ScriptedHost } from '../../lib/testing/gateway/scripted-host.ts'
import { TestClient } from '../../lib/testing/gateway/test-client.ts'
import { freePort } from '../../lib/testing/ports.ts'
import { startNats } from '../../lib/testing/servers/nats.ts'
import { openTokens } from '../../lib/tokens/tokens.ts'
import { provision } from '../../nats/provision.ts'
import { type Shape, shape } from '../../nats/shape.ts'

const ENTRY = fileURLToPath(new URL('../parley.ts', import.meta.url))
const PARTITIONS = 4
const ALL = [...Array(PARTITIONS).keys()]
/** A process starts, or a connection that was lost is made again. */
const SLOW = { within: 30_000 }

const freshData = async (t: Test): Promise<string> => {
  const data = await mkdtemp(join(tmpdir(), 'parley-gateway-'))
  t.teardown(() => rm(data, { recursive: true, force: true }))
  return data
}

/** The process, what it printed, and what its operations listener answers. */
class Gateway {
  readonly #child: ChildProcess
  readonly exit: Promise<unknown[]>
  out = ''
  log = ''

  constructor(t: Test, args: readonly string[]) {
    // What a test runner adds for coverage only slows it.
    const { NODE_OPTIONS: _, NODE_V8_COVERAGE: __, ...env } = process.env
    const all = [ENTRY, 'gateway', '--gateway-port', '0', '--log-format', 'json', ...args]
    this.#child = spawn(process.execPath, all, { env })
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.out += text
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.log += text
    })
    this.exit = once(this.#child, 'close')
    t.teardown(async () => {
      this.#child.kill('SIGKILL')
      await this.exit
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** Undefined until it serves. */
  get url(): string | undefined {
    return /The gateway serves (\S+)/.exec(this.out)?.[1]
  }

  term(): void {
    this.#child.kill('SIGTERM')
  }

  /** `[code, signal]` */
  ended(): Promise<unknown[]> {
    let exit: unknown[] | undefined
    void this.exit.then((given) => {
      exit = given
    })
    return this.#eventually('its end', () => exit)
  }

  async ask(path: string): Promise<{ status: number; text: string }> {
    const url = await eventually(
      'it says where its operations are',
      () => /Operations at (\S+):/.exec(this.out)?.[1],
      SLOW,
    )
    const answer = await fetch(url + path, { signal: AbortSignal.timeout(5000) })
    return { status: answer.status, text: await answer.text() }
  }

  async becomes(status: number, text: RegExp): Promise<void> {
    await this.#eventually(`/ready tells ${status} ${text}`, async () => {
      const ready = await this.ask('/ready')
      return ready.status === status && text.test(ready.text)
    })
  }

  async #eventually<T>(what: string, check: () => T | Promise<T>) {
    try {
      return await eventually(what, check, SLOW)
    } catch (cause) {
      throw new Error(`${(cause as Error).message}\n${this.log}`, { cause })
    }
  }
}

const made = (url: string, given: Partial<Shape> = {}) =>
  withConnection([url], (nc) =>
    provision(nc, shape({ partitions: PARTITIONS, streams: 1, ...given })),
  )

t.test('its life: waits for NATS, serves, loses it, recovers, drains', async (t) => {
  const data = await freshData(t)
  const tokens = await openTokens(join(data, 'keys'))
  const port = await freePort()
  const url = `nats://127.0.0.1:${port}`
  const gateway = new Gateway(t, ['--data', data, '--nats-url', url, '--drain-seconds', '10'])

  await t.test('without NATS it lives, is not ready and says what to do', async (t) => {
    t.match(await gateway.ask('/health'), { status: 200 })
    await gateway.becomes(503, /No nats-server answers at .*start one/)
    t.match(gateway.log, /"event":"cluster.awaited"/)
    t.match(gateway.log, /start one, or check the address/)
    t.match(await gateway.ask('/metrics'), { status: 200, text: /^process_cpu_seconds_total /m })
    t.equal(gateway.url, undefined, 'no client is let in')
    const info = JSON.parse(await readFile(join(data, `gateway-${gateway.pid}.json`), 'utf8'))
    t.equal(info.gateway, undefined)
    t.equal((await fetch(`${info.operations}/health`)).status, 200)
  })

  const server = await startNats(t, { port })
  await t.test('a nats-server without a cluster is waited for, too', async () => {
    await gateway.becomes(503, /has no Parley cluster yet/)
  })

  await made(url)
  await gateway.becomes(200, /ready/)
  const bus = await connectNats({ servers: [url], name: 'test' })
  const host = new ScriptedHost(bus)
  t.teardown(async () => {
    host.stop()
    await bus.close()
  })
  await host.own(ALL, 1)
  const identity = { user: 'uAnn' as UserId, device: 'vAnn1' as DeviceId, generation: 1 }
  const { token } = await tokens.signAccess(identity)

  await t.test('it serves by itself once both are there, and counts', async (t) => {
    const serves = await eventually('it says where it serves', () => gateway.url, SLOW)
    const info = JSON.parse(await readFile(join(data, `gateway-${gateway.pid}.json`), 'utf8'))
    t.equal(info.gateway, serves)
    const client = await TestClient.login(serves, token)
    t.match(client.of('welcome')[0], { user: 'uAnn' })
    await eventually('its session is counted', async () =>
      /^parley_gateway_sessions 1$/m.test((await gateway.ask('/metrics')).text),
    )
    client.close()
  })

  await t.test('NATS lost: not ready, alive; back: ready by itself', async (t) => {
    await server.kill()
    await gateway.becomes(503, /connection to NATS is lost/)
    t.match(await gateway.ask('/health'), { status: 200 })
    await eventually('it is said', () => gateway.log.includes('"event":"nats.lost"'))
    await server.start()
    await gateway.becomes(200, /ready/)
    await eventually('that is said, too', () => gateway.log.includes('"event":"nats.back"'))
    const client = await TestClient.login(gateway.url!, token)
    t.ok(client.of('welcome')[0], 'and clients are served as before')
    client.close()
  })

  await t.test('NATS that hangs: not ready before the connection is given up', async () => {
    server.pause()
    await gateway.becomes(503, /NATS does not answer/)
    server.resume()
    await gateway.becomes(200, /ready/)
  })

  await t.test(
    'a drain: not ready while clients are sent elsewhere, alive until the end',
    async (t) => {
      const client = await TestClient.login(gateway.url!, token)
      gateway.term()
      await client.frame('goaway')
      t.match(await gateway.ask('/ready'), { status: 503, text: /drains/ })
      t.match(await gateway.ask('/health'), { status: 200 })
      t.match(await gateway.ask('/metrics'), { status: 200 })
      t.same(await gateway.ended(), [0, null])
      t.notOk(existsSync(join(data, `gateway-${gateway.pid}.json`)))
      client.close()
    },
  )
})

t.test('SIGTERM ends it cleanly', async (t) => {
  await t.test('while it waits', async (t) => {
    const data = await freshData(t)
    await openTokens(join(data, 'keys'))
    const url = `nats://127.0.0.1:${await freePort()}`
    const gateway = new Gateway(t, ['--data', data, '--nats-url', url])
    await gateway.becomes(503, /No nats-server/)
    gateway.term()
    t.same(await gateway.ended(), [0, null])
    t.notOk(existsSync(join(data, `gateway-${gateway.pid}.json`)))
  })

  await t.test('while NATS is lost', async (t) => {
    const data = await freshData(t)
    await openTokens(join(data, 'keys'))
    const server = await startNats(t)
    await made(server.url)
    const gateway = new Gateway(t, ['--data', data, '--nats-url', server.url])
    await gateway.becomes(200, /ready/)
    await server.kill()
    await gateway.becomes(503, /is lost/)
    gateway.term()
    t.same(await gateway.ended(), [0, null])
  })
})

t.test(
  'beside a data directory whose `up` is away it waits for keys, and where NATS was, and follows it',
  async (t) => {
    const data = await freshData(t)
    await writeFile(join(data, 'nats.port'), String(await freePort()))
    const args = [
      '--data',
      data,
      '--share-port',
      'true',
      '--gateway-port',
      String(await freePort()),
    ]
    const both = [new Gateway(t, args), new Gateway(t, args)]
    for (const gateway of both)
      await gateway.becomes(503, /tokens\.json is missing: an API makes it/)
    await openTokens(join(data, 'keys'))
    for (const gateway of both) await gateway.becomes(503, /No nats-server answers/)
    const server = await startNats(t)
    await made(server.url)
    await writeFile(join(data, 'nats.port'), String(server.port))
    for (const gateway of both) await gateway.becomes(200, /ready/)
    const infos = both.map(({ pid }) => existsSync(join(data, `gateway-${pid}.json`)))
    t.same(infos, [true, true], 'each says where it is')
    t.equal(both[0]!.url, both[1]!.url, 'they share the port of clients')
  },
)

t.test('what waiting does not mend ends it, with the reason', async (t) => {
  const server = await startNats(t)
  await made(server.url, { wire: 77 })
  const data = await freshData(t)
  await openTokens(join(data, 'keys'))
  const taken = new URL(server.url).port
  const cases: readonly (readonly [string, RegExp, readonly string[]])[] = [
    ['nothing known', /Nothing runs in .*--nats-url/, []],
    ['no address', /--nats-url: "http:\/\/x" is not an address/, ['--nats-url', 'http://x']],
    ['a port beyond all', /is not an address/, ['--nats-url', 'nats://127.0.0.1:99999']],
    ['another wire version', /wire version: the cluster has 77/, ['--nats-url', server.url]],
    ['half of TLS', /TLS needs both/, ['--nats-url', server.url, '--tls-key', ENTRY]],
    [
      'no certificate',
      /--tls-cert: .*can't be read/,
      ['--nats-url', server.url, '--tls-key', ENTRY, '--tls-cert', join(data, 'none')],
    ],
    ['no proxy', /--trusted-proxies/, ['--nats-url', server.url, '--trusted-proxies', 'x']],
    ['a taken port', /is taken/, ['--nats-url', server.url, '--ops-port', taken]],
  ]
  for (const [name, reason, args] of cases) {
    const gateway = new Gateway(t, ['--data', data, ...args])
    t.same(await gateway.ended(), [1, null], name)
    t.match(gateway.log, reason, name)
  }
  const empty = await freshData(t)
  const keyless = new Gateway(t, ['--data', empty, '--nats-url', server.url])
  t.same(await keyless.ended(), [1, null])
  t.match(keyless.log, /tokens\.json is missing: copy it/)
})
