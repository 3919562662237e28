import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { NOW, newAccount, openScene } from '../../../testing/directory-scene.ts'
import { eventually } from '../../../testing/eventually.ts'
import { skipWithout } from '../../../testing/servers/availability.ts'
import { startPostgres } from '../../../testing/servers/postgres.ts'
import { findPostgres } from '../../../testing/servers/postgres-binaries.ts'
import { CONTRACT_LIMITS, directoryContract } from '../../directory/contract.ts'
import type { DirectoryStore } from '../../directory/directory.ts'
import { openTestDirectory } from '../pglite/fixture.ts'
import { MIGRATIONS } from '../postgres-directory.ts'

const skip = await skipWithout('PostgreSQL', findPostgres)
const server = skip === false ? await startPostgres(t) : undefined

const TABLES = `select table_name, column_name, data_type, is_nullable from information_schema.columns
  where table_schema = 'public' order by 1, 2`
const STEPS = 'select hash from drizzle.__drizzle_migrations'

t.test('the contract', { skip }, async (t) => {
  const { store } = await openScene(t, server!, { limits: CONTRACT_LIMITS })
  await directoryContract(t, store)
})

t.test('the contract, with one connection', { skip }, async (t) => {
  const { store } = await openScene(t, server!, { limits: CONTRACT_LIMITS, pool: 1 })
  await directoryContract(t, store)
})

type Outcome = { readonly value: unknown } | { readonly code: unknown }

/** Says everything to both, one call after the other, and holds what they answer against each other. */
const both = (t: Test, one: DirectoryStore, other: DirectoryStore) => {
  let last: Promise<unknown> = Promise.resolve()
  let compared = 0
  const ask = async (store: DirectoryStore, name: keyof DirectoryStore, args: unknown[]) => {
    try {
      const value = await (store[name] as (...args: unknown[]) => Promise<unknown>)(...args)
      return { value } satisfies Outcome
    } catch (error) {
      return { code: (error as { code?: unknown }).code, error }
    }
  }
  const inOrder = (outcome: Outcome): unknown => {
    if ('code' in outcome) return { code: outcome.code }
    const { value } = outcome
    return Array.isArray(value) ? value.map((row) => JSON.stringify(row)).sort() : value
  }
  const call = (name: keyof DirectoryStore, args: unknown[]) => {
    const answer = last.then(async () => {
      const [a, b] = [await ask(one, name, args), await ask(other, name, args)]
      const same = JSON.stringify(inOrder(a)) === JSON.stringify(inOrder(b))
      if (!same) t.same(inOrder(b), inOrder(a), `${name} answers the same on both`)
      compared++
      if ('error' in a) throw a.error
      return a.value
    })
    last = answer.catch(() => undefined)
    return answer
  }
  const store = new Proxy(one, {
    get:
      (_, name) =>
      (...args: unknown[]) =>
        call(name as keyof DirectoryStore, args),
  })
  return { store, compared: () => compared }
}

t.test(
  'the embedded one and the server answer every call of the contract alike',
  { skip },
  async (t) => {
    const embedded = await openTestDirectory(CONTRACT_LIMITS)
    t.teardown(embedded.dispose)
    const { store } = await openScene(t, server!, { limits: CONTRACT_LIMITS })
    const pair = both(t, embedded.store, store)
    // A proxy answers to every name, `then` too: it must not be awaited itself.
    await directoryContract(t, pair.store)
    t.ok(pair.compared() > 150, `${pair.compared()} answers`)
  },
)

t.test(
  'what breaks a rule of the schema is `internal`, and tells nothing of what was asked',
  { skip },
  async (t) => {
    const { store } = await openScene(t, server!)
    const ann = newAccount('ann')
    await store.register(ann, NOW)
    const error = await store.register({ ...ann, handle: 'other' }, NOW).then(
      () => undefined,
      (reason: unknown) => reason as Error,
    )
    t.match(error, { code: 'internal', cause: /duplicate key/ })
    t.notMatch(JSON.stringify([error!.message, error!.cause]), /secret hash/)
    t.equal(await store.profileOf('other'), undefined)
  },
)

t.test('after close every call is refused', { skip }, async (t) => {
  const { store } = await openScene(t, server!)
  await Promise.all([store.close(), store.close()])
  await t.rejects(store.profileOf('ann'), { code: 'unavailable' })
})

t.test('the schema comes once: from nothing, again, and from two at once', { skip }, async (t) => {
  const url = await server!.database()
  const opened = await Promise.all([1, 2, 3].map(() => openScene(t, server!, { url })))
  t.equal((await server!.sql(STEPS, url)).length, 1)
  await opened[0]!.store.register(newAccount('ann'), NOW)
  const again = await opened[0]!.open()
  t.match(await again.profileOf('ann'), { handle: 'ann' }, 'what was stored stays')
  t.equal((await server!.sql(STEPS, url)).length, 1)
  t.ok((await server!.sql(TABLES, url)).length > 15)
})

/** The migrations of this version and one more, as the next version would bring it. */
const nextVersion = (t: Test, sql: string): URL => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-migrations-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(fileURLToPath(MIGRATIONS), folder, { recursive: true })
  const path = join(folder, 'meta', '_journal.json')
  const journal = JSON.parse(readFileSync(path, 'utf8')) as {
    entries: { idx: number; when: number; tag: string }[]
  }
  const last = journal.entries.at(-1)!
  journal.entries.push({ ...last, idx: last.idx + 1, when: last.when + 1, tag: '9999_next' })
  writeFileSync(path, JSON.stringify(journal))
  writeFileSync(join(folder, '9999_next.sql'), sql)
  return pathToFileURL(folder)
}

t.test(
  'the next version finds the data of this one; this one then still runs',
  { skip },
  async (t) => {
    const scene = await openScene(t, server!)
    await scene.store.register(newAccount('ann'), NOW)
    const migrations = nextVersion(t, `alter table users add column motto text default 'none'`)
    const [next] = await Promise.all([scene.open({ migrations }), scene.open({ migrations })])
    t.match(await next!.profileOf('ann'), { handle: 'ann' })
    t.same(await server!.sql('select motto from users', scene.url), [{ motto: 'none' }])
    t.equal((await server!.sql(STEPS, scene.url)).length, 2)
    const older = await scene.open()
    t.match(await older.register(newAccount('ben'), NOW), { generation: 1 })
    t.equal((await server!.sql(STEPS, scene.url)).length, 2)
  },
)

t.test('a migration that fails leaves nothing of itself', { skip }, async (t) => {
  const scene = await openScene(t, server!)
  const migrations = nextVersion(
    t,
    'create table half (n int);\n--> statement-breakpoint\nselect no_such_function()',
  )
  await t.rejects(scene.open({ migrations }), { code: 'internal', cause: /no_such_function/ })
  t.same(await server!.sql(`select to_regclass('half') as half`, scene.url), [{ half: null }])
  t.match(await scene.store.register(newAccount('ann'), NOW), { generation: 1 })
})

t.test(
  'a user that may only read and write is enough once the schema is there',
  { skip },
  async (t) => {
    const { url } = await openScene(t, server!)
    const name = `limited_${Date.now()}`
    await server!.sql(
      `create role ${name} login password 'limited'; grant usage on schema public, drizzle to ${name};
     grant select, insert, update, delete on all tables in schema public to ${name};
     grant select on drizzle.__drizzle_migrations to ${name}`,
      url,
    )
    const database = new URL(url).pathname.slice(1)
    const own = server!.url({ user: name, password: 'limited', database })
    const { store } = await openScene(t, server!, { url: own })
    t.match(await store.register(newAccount('ann'), NOW), { generation: 1 })
  },
)

t.test('sessions carry a name and limits that the server holds', { skip }, async (t) => {
  const { store, url } = await openScene(t, server!, { name: 'parley api' })
  await store.profileOf('ann')
  const seen = await server!.sql(
    `select application_name from pg_stat_activity where datname = current_database()
     and application_name like 'parley%'`,
    url,
  )
  t.same(seen, [{ application_name: 'parley api' }])
})

t.test('changes that stop each other are made one after the other', { skip }, async (t) => {
  const { store, open, url } = await openScene(t, server!)
  const other = await open()
  const ann = newAccount('ann')
  await store.register(ann, NOW)
  const names = Array.from({ length: 40 }, (_, n) => `Ann ${n}`)
  await Promise.all(
    names.map((name, n) => (n % 2 === 0 ? store : other).rename(ann.user, name, NOW)),
  )
  t.match(await store.pending(1, ann.user), [{ version: 41 }], 'none is lost')

  // A deadlock: this test holds ann and then wants what the store's transaction has.
  await server!.sql(
    `create function slow() returns trigger language plpgsql as $$ begin
       perform pg_advisory_lock(1); perform pg_advisory_unlock(1); return new; end $$;
     create trigger slow before update on users for each row execute function slow()`,
    url,
  )
  const held = server!.sql(
    `set deadlock_timeout = '20s'; begin; select pg_advisory_lock(1); select pg_sleep(0.3);
     update users set created = created where handle = 'ann'; commit; select pg_advisory_unlock(1)`,
    url,
  )
  await eventually('the lock is held', async () => {
    const rows = await server!.sql(`select 1 from pg_locks where locktype = 'advisory'`, url)
    return rows.length > 0
  })
  const renamed = store.rename(ann.user, 'After the deadlock', NOW)
  await held
  t.match(await renamed, { name: 'After the deadlock' })
  await eventually('the server has counted it', async () => {
    const [row] = await server!.sql(
      'select deadlocks::int as n from pg_stat_database where datname = current_database()',
      url,
    )
    return (row?.n as number) > 0
  })
})

const bin = skip === false ? findPostgres() : ''
const dumps =
  skip === false && existsSync(join(bin, 'pg_dump')) && existsSync(join(bin, 'pg_restore'))

t.test(
  'a dump, taken while it is written to, is one moment, and can be restored',
  { skip: dumps ? false : skip || 'there is no pg_dump' },
  async (t) => {
    const { store, url } = await openScene(t, server!)
    const folder = mkdtempSync(join(tmpdir(), 'parley-dump-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const accounts = Array.from({ length: 200 }, (_, n) => newAccount(`user${n}`))
    const first = accounts.slice(0, 50)
    for (const account of first) await store.register(account, NOW)
    const writes = Promise.all(accounts.slice(50).map((account) => store.register(account, NOW)))
    const file = join(folder, 'parley.dump')
    const run = promisify(execFile)
    const dump = ['--format=custom', '--no-owner', `--file=${file}`, url]
    await Promise.all([writes, run(join(bin, 'pg_dump'), dump)])

    const restored = await server!.database()
    const restore = ['--no-owner', '--exit-on-error', `--dbname=${restored}`, file]
    await run(join(bin, 'pg_restore'), restore)
    const { store: copy } = await openScene(t, server!, { url: restored })
    const wrong: string[] = []
    for (const { handle, user, device } of accounts) {
      const known = await copy.profileOf(handle)
      const whole =
        (await copy.standing(user, device.device)) !== undefined &&
        (await copy.pending(1, user)).length === 1
      if (known !== undefined && !whole) wrong.push(`${handle} is half there`)
      if (known === undefined && first.some((one) => one.user === user))
        wrong.push(`${handle} is lost`)
    }
    t.same(wrong, [])
    t.match(await copy.register(newAccount('after'), NOW), { generation: 1 })
  },
)
