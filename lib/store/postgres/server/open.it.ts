import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createLog } from '../../../log.ts'
import { NOW, newAccount } from '../../../testing/directory-scene.ts'
import { freePort } from '../../../testing/ports.ts'
import { skipWithout } from '../../../testing/servers/availability.ts'
import { startPostgres } from '../../../testing/servers/postgres.ts'
import { findPostgres } from '../../../testing/servers/postgres-binaries.ts'
import { openPostgresDirectory, type PostgresSettings } from './open.ts'

const skip = await skipWithout('PostgreSQL', findPostgres)
const log = createLog({ level: 'error', format: 'text' })

/** Longer than the test may take: what waiting does not mend must not be waited for. */
const FOR_EVER = 600_000

const open = async (t: Test, settings: Omit<PostgresSettings, 'log'>) => {
  const store = await openPostgresDirectory({ log, openMs: FOR_EVER, ...settings })
  t.teardown(() => store.close())
  return store
}

t.test('what waiting does not mend is told at once, with what to do', { skip }, async (t) => {
  const server = await startPostgres(t)
  const url = await server.database()
  const database = new URL(url).pathname.slice(1)
  await server.sql(`create role reader login password 'reads'`)
  const wrong: [string, RegExp][] = [
    [
      server.url({ database, password: 'wrong' }),
      /does not let parley in.*--postgres-password-file/,
    ],
    [server.url({ database, user: 'nobody' }), /does not let nobody in/],
    [
      server.url({ database: 'elsewhere' }),
      /no database elsewhere.*createdb --owner=parley elsewhere/,
    ],
    [
      server.url({ database, user: 'reader', password: 'reads' }),
      /ALTER DATABASE .* OWNER TO reader/,
    ],
  ]
  for (const [wrongUrl, message] of wrong) {
    const error = await open(t, { url: wrongUrl }).then(
      () => undefined,
      (reason: Error) => reason,
    )
    t.match(error, { code: 'unavailable', message }, wrongUrl)
    t.notMatch(String(error), /wrong@|:wrong/)
  }
  await t.rejects(open(t, { url: 'db.example' }), { message: /must look like/ })
  await t.rejects(open(t, { url, passwordFile: '/nowhere/password' }), { code: 'ENOENT' })
})

t.test('the password may come from a file', { skip }, async (t) => {
  const server = await startPostgres(t)
  const folder = await mkdtemp(join(tmpdir(), 'parley-password-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const passwordFile = join(folder, 'password')
  await server.sql(`create role filed login superuser password 'from a file'`)
  await writeFile(passwordFile, 'from a file\n')
  const url = server.url({ user: 'filed', password: '' })
  const store = await open(t, { url, passwordFile })
  t.equal(await store.profileOf('ann'), undefined)
})

t.test(
  'a server that comes later is waited for; one that does not come, not for ever',
  { skip },
  async (t) => {
    const server = await startPostgres(t)
    const url = await server.database()
    await server.stop()
    const events: string[] = []
    const counted = createLog({
      level: 'debug',
      format: 'json',
      destination: { write: (line) => void events.push(line) },
    })
    await t.rejects(openPostgresDirectory({ url, log: counted, openMs: 400 }), {
      code: 'unavailable',
      message: /does PostgreSQL run\?/,
    })
    t.ok(events.some((line) => line.includes('directory.awaited')))
    const opening = open(t, { url })
    await server.start()
    const store = await opening
    t.match(await store.register(newAccount('ann'), NOW), { generation: 1 })

    const stop = new AbortController()
    await server.stop()
    const given = open(t, { url, signal: stop.signal })
    stop.abort(new Error('told to stop'))
    await t.rejects(given)
  },
)

t.test(
  'something that takes connections and says nothing is not waited for beyond the time',
  async (t) => {
    const mute = createServer(() => {})
    const port = await freePort()
    await new Promise<void>((resolve) => mute.listen(port, '127.0.0.1', resolve))
    t.teardown(() => mute.close())
    const url = `postgresql://parley:x@127.0.0.1:${port}/parley`
    for (const tls of ['off', 'require'] as const) {
      await t.rejects(open(t, { url, tls, openMs: 300 }), { code: 'unavailable' })
    }
  },
)

t.test('no connection left: told as such', { skip }, async (t) => {
  const server = await startPostgres(t)
  await server.sql(`create role few login password 'few' connection limit 0`)
  const url = server.url({ user: 'few', password: 'few' })
  await t.rejects(open(t, { url, openMs: 300 }), {
    code: 'unavailable',
    message: /max_connections/,
  })
})

const certificate = async (folder: string, name: string, subject: string) => {
  const files = { key: join(folder, `${name}.key`), cert: join(folder, `${name}.pem`) }
  const kind = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
  await promisify(execFile)('openssl', [
    ...kind.split(' '),
    ...['-subj', '/CN=test', '-addext', `subjectAltName=${subject}`],
    ...['-keyout', files.key, '-out', files.cert],
  ])
  return files
}

t.test('TLS: encrypted, verified, refused', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-postgres-tls-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const own = await certificate(folder, 'own', 'IP:127.0.0.1')
  const other = await certificate(folder, 'other', 'DNS:elsewhere.example')
  const isEncrypted = `select ssl from pg_stat_ssl join pg_stat_activity using (pid)
    where application_name = 'parley' and datname = current_database()`

  const server = await startPostgres(t, { tls: own })
  for (const [given, ssl] of [
    [{ tls: 'require' }, true],
    [{ tls: 'verify', tlsCa: own.cert }, true],
    [{ tls: 'off' }, false],
    [{ tls: 'auto' }, false],
  ] as const) {
    const url = await server.database()
    const store = await open(t, { url, ...given })
    t.match(await store.register(newAccount('ann'), NOW), { generation: 1 })
    t.same(await server.sql(isEncrypted, url), [{ ssl }], given.tls)
  }
  const url = await server.database()
  const untrusted = { code: 'unavailable', message: /not one that is trusted.*--postgres-tls-ca/ }
  await t.rejects(open(t, { url, tls: 'verify' }), untrusted)
  await t.rejects(open(t, { url, tls: 'verify', tlsCa: other.cert }), untrusted)

  const misnamed = await startPostgres(t, { tls: other })
  await t.rejects(open(t, { url: misnamed.url(), tls: 'verify', tlsCa: other.cert }), untrusted)

  const plain = await startPostgres(t)
  for (const tls of ['require', 'verify'] as const) {
    await t.rejects(open(t, { url: plain.url(), tls }), {
      code: 'unavailable',
      message: /does not offer TLS/,
    })
  }
})
