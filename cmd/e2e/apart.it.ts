/** Every role a process of its own, on CQL and PostgreSQL: each is stopped and killed while people write. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { eventually } from '../../lib/testing/eventually.ts'
import { freePorts } from '../../lib/testing/ports.ts'
import { skipWithout } from '../../lib/testing/servers/availability.ts'
import { findCassandra, startCassandra } from '../../lib/testing/servers/cassandra.ts'
import { startNats } from '../../lib/testing/servers/nats.ts'
import { startPostgres } from '../../lib/testing/servers/postgres.ts'
import { findPostgres } from '../../lib/testing/servers/postgres-binaries.ts'
import { Chat, within } from './chat.ts'
import { startParley } from './child.ts'
import { Role } from './role.ts'

t.setTimeout(300_000)

const PARTITIONS = 16
const LONG = { within: 60_000 }
const END_MS = 60_000
/** Lines that are acked after a fault before the next one comes. */
const BETWEEN = 3
const PACE_MS = 10

const stage = async (t: Test) => {
  const data = await mkdtemp(join(tmpdir(), 'parley-apart-'))
  t.teardown(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))
  const [nats, postgres, cassandra] = await Promise.all([
    startNats(t),
    startPostgres(t),
    startCassandra(t),
  ])
  const [apiPort, gatewayPort] = await freePorts(2)
  const env = {
    PARLEY_NATS_URL: nats.url,
    PARLEY_POSTGRES_URL: await postgres.database(),
    PARLEY_CQL_CONTACT_POINTS: cassandra.contactPoints.join(','),
    PARLEY_CQL_PORT: String(cassandra.port),
    PARLEY_CQL_REPLICATION: `${cassandra.datacenter}:1`,
    PARLEY_KEYS: join(data, 'keys'),
    PARLEY_API_PORT: String(apiPort),
    PARLEY_GATEWAY_PORT: String(gatewayPort),
    PARLEY_PARTITIONS: String(PARTITIONS),
    PARLEY_LOG_LEVEL: 'warn',
  }
  const role = (name: string, directory = name): Role => {
    const made = new Role(name, { ...env, PARLEY_DATA: join(data, directory) })
    t.teardown(() => made.kill())
    return made
  }
  return { role, env, data, api: `http://127.0.0.1:${apiPort}` }
}

/** Someone who writes on and on, each line when the one before is acked. */
const writer = (chat: Chat) => {
  const pipe = chat.start('--profile', 'ann', '--json', 'send', '@bob', '-')
  const lines: string[] = []
  let acked = 0
  let over = false
  pipe.onLine(() => acked++)
  const writing = (async () => {
    while (!over) {
      lines.push(`line ${lines.length + 1}`)
      pipe.stdin.write(`${lines.at(-1)}\n`)
      await eventually(`${lines.at(-1)} is acked`, () => acked >= lines.length, LONG)
      await pause(PACE_MS)
    }
  })()
  writing.catch(() => undefined)
  return {
    goesOn: async (): Promise<void> => {
      const before = acked
      await eventually('lines are acked', () => acked >= before + BETWEEN, LONG)
    },
    end: async () => {
      over = true
      await writing
      pipe.stdin.end()
      return { lines, exit: await within(pipe, END_MS, 'send -') }
    },
  }
}

const skip =
  (await skipWithout('PostgreSQL', findPostgres)) ||
  (await skipWithout('Cassandra', () => findCassandra()))

t.test('each role may stop, be killed and come back while people write', { skip }, async (t) => {
  const { role, env, data, api } = await stage(t)
  const gateway = role('gateway')
  gateway.launch()
  await gateway.waits(/tokens\.json is missing: an API makes it/)
  const projector = role('projector')
  projector.launch()
  await projector.waits(/has no Parley cluster yet.*start a host/)
  const host = role('host')
  const apiRole = role('api')
  for (const one of [host, apiRole]) one.launch()
  const all = [gateway, projector, apiRole, host]
  for (const one of all) await one.ready()
  await host.has((count) => count === PARTITIONS)

  const chat = await Chat.open(api, 'cursor')
  t.teardown(() => chat.end())
  for (const name of ['ann', 'bob']) await chat.enter('register', name, name, `${name} is here`)
  const writes = writer(chat)
  await writes.goesOn()

  for (const one of all) {
    await t.test(`${one.name} stops and starts`, async (t) => {
      t.match(await one.stop(), { code: 0 }, one.tail)
      await one.start()
      await writes.goesOn()
    })
    await t.test(`${one.name} is killed and starts`, async () => {
      await one.kill()
      await one.start()
      await writes.goesOn()
    })
  }

  const second = role('host', 'host-2')
  await t.test('a second host joins, the first leaves', async (t) => {
    await second.start()
    await second.has((count) => count > 0)
    await writes.goesOn()
    t.match(await host.stop(), { code: 0 }, host.tail)
    await second.has((count) => count === PARTITIONS)
    await writes.goesOn()
  })

  const { lines, exit } = await writes.end()
  t.match(exit, { code: 0 })
  const history = ['history', '@ann', '--limit', String(2 * lines.length)]
  const shown = await chat.lines(['--profile', 'bob', ...history])
  const texts = shown.flatMap((line) => /line \d+$/.exec(line) ?? [])
  t.same(texts, lines, 'every line once and in order')
  const verify = startParley(['verify'], env)
  t.match(await within(verify, END_MS, 'verify'), { code: 0 }, verify.tail)

  await t.test('`parley up` serves the same stores, all in one', async (t) => {
    const ends = await Promise.all([...all, second].map((one) => one.stop()))
    t.same(
      ends.map(({ code }) => code),
      [0, 0, 0, 0, 0],
      'all have drained',
    )
    const up = startParley(['up'], { ...env, PARLEY_DATA: join(data, 'up') })
    t.teardown(() => up.end())
    await eventually('it serves', async () => (await fetch(`${api}/v1/gateway`)).ok, LONG)
    await chat.lines(['--profile', 'bob', 'send', '@ann', 'still here'])
    const again = await chat.lines(['--profile', 'ann', 'history', '@bob', '--limit', '3'])
    t.match(again.join('\n'), /line \d+.*still here/s)
    t.match(await up.end(), { code: 0 }, up.tail)
  })
})
