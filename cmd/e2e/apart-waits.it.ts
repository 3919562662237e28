/** Roles apart before their stores are there: what they wait for, and what ends them at once. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { freePorts } from '../../lib/testing/ports.ts'
import { startNats } from '../../lib/testing/servers/nats.ts'
import { within } from './chat.ts'
import { startParley } from './child.ts'
import { Role } from './role.ts'

t.setTimeout(180_000)

const END_MS = 60_000

t.test('with embedded stores they refuse, with the reason', async (t) => {
  const cases = [
    ['host', /admit one process.*--cql-contact-points/],
    ['projector', /admit one process.*--cql-contact-points/],
    ['api', /admit one process.*--postgres-url/],
  ] as const
  const ends = cases.map(async ([name, why]) => {
    const child = startParley([name, '--data', t.testdirName, '--nats-url', 'nats://127.0.0.1:1'])
    t.match(await within(child, END_MS, name), { code: 1 })
    t.match(child.tail, why)
  })
  await Promise.all(ends)
})

t.test('stores that are away are waited for; whoever waits can be told to stop', async (t) => {
  const data = t.testdir()
  const nats = await startNats(t)
  const [cql, postgres] = await freePorts(2)
  const env = {
    PARLEY_NATS_URL: nats.url,
    PARLEY_CQL_CONTACT_POINTS: '127.0.0.1',
    PARLEY_CQL_PORT: String(cql),
    PARLEY_POSTGRES_URL: `postgresql://parley:secret@127.0.0.1:${postgres}/parley`,
    PARLEY_KEYS: join(data, 'keys'),
  }
  const role = (name: string): Role => {
    const made = new Role(name, { ...env, PARLEY_DATA: join(data, name) })
    t.teardown(() => made.kill())
    made.launch()
    return made
  }
  const host = role('host')
  const projector = role('projector')
  const api = role('api')
  for (const one of [host, projector]) await one.waits(/the CQL store does not answer/)
  await api.waits(/directory\.awaited/)
  t.match(await host.ask('/health'), { status: 200 })
  t.match(await host.ask('/metrics'), { status: 200, text: /^process_cpu_seconds_total /m })
  t.match(host.tail, /cql\.awaited/)
  t.match(api.tail, /directory\.awaited .*does PostgreSQL run/)

  await t.test('a data directory has one host', async (t) => {
    const child = startParley(['host'], { ...env, PARLEY_DATA: join(data, 'host') })
    t.match(await within(child, END_MS, 'host'), { code: 1 })
    t.match(child.tail, /in use by another process/)
  })

  await t.test('what waiting does not mend ends it', async (t) => {
    const keys = join(data, 'bad')
    await mkdir(keys)
    await writeFile(join(keys, 'tokens.json'), '{}', { mode: 0o600 })
    const cases = [
      ['projector', /cqlPasswordFile/, { PARLEY_CQL_USER: 'parley' }],
      ['host', /is not an address/, { PARLEY_NATS_URL: 'http://x' }],
      ['api', /is damaged/, { PARLEY_KEYS: keys }],
      ['gateway', /is damaged/, { PARLEY_KEYS: keys }],
    ] as const
    for (const [name, why, more] of cases) {
      const child = startParley([name], { ...env, PARLEY_DATA: join(data, 'other'), ...more })
      t.match(await within(child, END_MS, name), { code: 1 }, name)
      t.match(child.tail, why, name)
    }
  })

  const ends = await Promise.all([host, projector, api].map((one) => one.stop()))
  t.match(ends, [{ code: 0 }, { code: 0 }, { code: 0 }])
})
