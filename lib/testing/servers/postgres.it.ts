import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isAlive } from '../../../nats/orphan.ts'
import { eventually } from '../eventually.ts'
import { skipWithout } from './availability.ts'
import { startPostgres } from './postgres.ts'
import { findPostgres } from './postgres-binaries.ts'
import { processTree } from './process-tree.ts'

const skip = await skipWithout('PostgreSQL', findPostgres)

t.test('a server lives as long as its scope, and leaves nothing behind', { skip }, async (t) => {
  let directory: string
  let processes: number[]
  {
    await using server = await startPostgres()
    const [row] = await server.sql('select current_user as name', await server.database())
    t.same(row, { name: 'parley' })
    ;({ directory } = server)
    processes = processTree(server.pid!)
    t.ok(processes.length > 1)
  }
  t.notOk(existsSync(directory))
  t.same(processes.filter(isAlive), [])
})

t.test('or as long as the test it is given, also one that fails', { skip }, async (t) => {
  let directory = ''
  let pid = 0
  const end: (() => Promise<void>)[] = []
  const inner = { teardown: (given: () => Promise<void>) => void end.push(given) }
  await (async () => {
    const server = await startPostgres(inner)
    ;({ directory } = server)
    pid = server.pid!
    throw new Error('the test fails')
  })().catch(() => undefined)
  t.ok(isAlive(pid))
  for (const one of end) await one()
  t.notOk(isAlive(pid))
  t.notOk(existsSync(directory))
})

t.test('it is stopped, killed and paused, and comes back on its port', { skip }, async (t) => {
  const server = await startPostgres(t)
  await server.sql('create table kept (n int); insert into kept values (1)')
  const url = server.url()
  await server.stop()
  await t.rejects(server.sql('select 1'), { code: 'ECONNREFUSED' })
  await server.start()
  t.equal(server.url(), url)
  await server.sql('insert into kept values (2)')
  await server.kill()
  t.equal(server.pid, undefined)
  await t.rejects(server.sql('select 1'), { code: 'ECONNREFUSED' })
  await server.start()
  t.same(await server.sql('select n from kept order by n'), [{ n: 1 }, { n: 2 }])

  server.pause()
  const states = () =>
    String(execFileSync('ps', ['-o', 'stat=', '-p', processTree(server.pid!).join(',')]))
  // Who runs on another core just then stops a little later.
  await eventually('all stand still', () => /^(T\S*\s+)+$/.test(states()))
  const answer = server.sql('select 3 as n')
  server.resume()
  t.same(await answer, [{ n: 3 }])
})

t.test('a start that fails says why and leaves nothing', { skip }, async (t) => {
  const wrong = startPostgres(t, { settings: { no_such_setting: 'on' } })
  await t.rejects(wrong, { message: /no_such_setting/ })
})

t.test('binaries are found where they are said to be, in PATH, and the newest of Debian', (t) => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'parley-bin-')))
  t.teardown(() => rmSync(root, { recursive: true }))
  for (const folder of ['own', '9.6/bin', '15/bin', 'none/bin']) {
    mkdirSync(join(root, folder), { recursive: true })
    for (const name of folder.startsWith('none') ? ['initdb'] : ['initdb', 'postgres']) {
      writeFileSync(join(root, folder, name), '')
    }
  }
  const own = join(root, 'own')
  t.equal(findPostgres({ PARLEY_POSTGRES_BIN: own, PATH: join(root, '9.6/bin') }, root), own)
  t.equal(findPostgres({ PATH: `/nowhere:${own}` }, root), own)
  t.equal(findPostgres({ PATH: join(root, 'none/bin') }, root), join(root, '15/bin'))
  t.throws(() => findPostgres({ PARLEY_POSTGRES_BIN: join(root, 'none') }, root), {
    message: /PARLEY_POSTGRES_BIN/,
  })
  t.throws(() => findPostgres({ PATH: '/nowhere' }, '/nowhere'), { message: /install the server/ })
  t.end()
})
