import { join } from 'node:path'
import t from 'tap'
import { readConfig } from '../../config.ts'
import { createLog } from '../../log.ts'
import { cqlOptions } from './settings.ts'

const log = createLog({ level: 'error', format: 'text' })
const read = (given: Record<string, string>) => cqlOptions(readConfig(given, {}), log)

t.test('as little as can be said', async (t) => {
  const options = await read({ cqlContactPoints: 'one, two' })
  t.match(options, {
    contactPoints: ['one', 'two'],
    port: 9042,
    datacenter: 'datacenter1',
    keyspace: 'parley',
    tablets: 'default',
  })
  t.equal(options.replication.size, 0)
  t.notOk('credentials' in options)
  t.notOk('tls' in options)
})

t.test('copies in each datacenter', async (t) => {
  const { replication } = await read({ cqlReplication: 'east:3, us-west_2:5' })
  t.same(
    [...replication],
    [
      ['east', 3],
      ['us-west_2', 5],
    ],
  )
  for (const wrong of ['east', 'east:0', 'east:x', "e'ast:3", ':3', 'east:3;west:3']) {
    t.throws(() => readConfig({ cqlReplication: wrong }, {}), /datacenter:copies/, wrong)
  }
})

t.test('password and certificates come from files', async (t) => {
  const dir = t.testdir({ password: 'quite secret\n', ca: 'CA', key: 'KEY', cert: 'CERT' })
  const at = (name: string) => join(dir, name)
  const options = await read({
    cqlUser: 'parley',
    cqlPasswordFile: at('password'),
    cqlTls: 'true',
    cqlTlsCa: at('ca'),
    cqlTlsKey: at('key'),
    cqlTlsCert: at('cert'),
  })
  t.same(options.credentials, { username: 'parley', password: 'quite secret' })
  t.same([options.tls?.ca, options.tls?.key, options.tls?.cert].map(String), ['CA', 'KEY', 'CERT'])
  const wrong = [
    [{ cqlUser: 'parley' }, /go together/],
    [{ cqlUser: 'parley', cqlPasswordFile: at('none') }, /cqlPasswordFile/],
    [{ cqlTls: 'true', cqlTlsKey: at('key') }, /go together/],
    [{ cqlTls: 'true', cqlTlsCa: at('none') }, /cqlTlsCa/],
  ] as const
  for (const [given, message] of wrong) {
    await t.rejects(read(given), { code: 'bad_request', message })
  }
})
