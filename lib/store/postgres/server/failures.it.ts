import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { NOW, newAccount, openScene } from '../../../testing/directory-scene.ts'
import { eventually } from '../../../testing/eventually.ts'
import { skipWithout } from '../../../testing/servers/availability.ts'
import { startPostgres } from '../../../testing/servers/postgres.ts'
import { findPostgres } from '../../../testing/servers/postgres-binaries.ts'
import type { DirectoryStore } from '../../directory/directory.ts'

const skip = await skipWithout('PostgreSQL', findPostgres)

/** Far above the second that a failure may take, far below what a call may: neither a busy machine nor a bug passes. */
const SOON_MS = 2_500
const LONG = { within: 20_000 }

const soon = async <T>(promise: Promise<T>): Promise<T> => {
  const over = new AbortController()
  const late = delay(SOON_MS, undefined, { signal: over.signal }).then(() => {
    throw new Error('it is not told soon')
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([promise, late])
  } finally {
    over.abort()
  }
}

const refusedSoon = (t: Test, promise: Promise<unknown>, message: RegExp, code = 'unavailable') =>
  t.rejects(soon(promise), { code, message })

const answersAgain = (store: DirectoryStore, handle: string) =>
  eventually('it answers again', async () => (await store.profileOf(handle))?.handle, LONG)

t.test(
  'a server that is stopped: refused at once, and all is well when it is back',
  { skip },
  async (t) => {
    const server = await startPostgres(t)
    const { store, events } = await openScene(t, server)
    const ann = newAccount('ann')
    await store.register(ann, NOW)
    const count = (event: string) => events.filter((one) => one.event === event).length

    for (const stop of [() => server.stop(), () => server.kill()]) {
      events.length = 0
      await stop()
      await refusedSoon(t, store.credentials('ann'), /does PostgreSQL run\?/)
      const crowd = Array.from({ length: 200 }, (_, n) => store.register(newAccount(`no${n}`), NOW))
      const settled = await soon(Promise.allSettled(crowd))
      t.ok(settled.every((one) => one.status === 'rejected' && one.reason.code === 'unavailable'))
      t.ok(settled.every((one) => one.status === 'rejected' && one.reason.retryAfterMs > 0))
      await refusedSoon(t, store.rename(ann.user, 'Ann', NOW), /./)
      t.equal(count('directory.lost'), 1, 'the log says so once')
      await server.start()
      await answersAgain(store, 'ann')
      t.equal(count('directory.back'), 1)
      t.equal(await store.profileOf('no0'), undefined)
      t.match(await store.rename(ann.user, 'Ann again', NOW), { name: 'Ann again' })
      t.notMatch(JSON.stringify(events), /only for tests/, 'no password in the log')
    }
  },
)

t.test('a server that hangs: whoever waits is told, later ones at once', { skip }, async (t) => {
  const server = await startPostgres(t)
  const { store, open, events } = await openScene(t, server)
  const fresh = await open()
  const ann = newAccount('ann')
  await store.register(ann, NOW)
  server.pause()
  t.teardown(() => server.resume())
  const waiting = [
    store.profileOf('ann'),
    store.rename(ann.user, 'Ann paused', NOW),
    // This one has no connection yet.
    fresh.profileOf('ann'),
  ]
  const settled = await soon(Promise.allSettled(waiting))
  for (const one of settled) {
    t.match(one, { status: 'rejected', reason: { code: 'unavailable' } })
  }
  await refusedSoon(t, store.profileOf('ann'), /./)
  await refusedSoon(
    t,
    fresh.login({ user: ann.user, generation: 1, device: newAccount('x').device }, NOW),
    /./,
  )
  t.ok(events.some(({ event }) => event === 'directory.lost'))
  server.resume()
  await answersAgain(store, 'ann')
  await answersAgain(fresh, 'ann')
  t.match(await store.rename(ann.user, 'Ann again', NOW), { name: 'Ann again' })
})

t.test(
  'kill -9 in the middle of transactions: what was told is there, the rest is whole or not there',
  { skip },
  async (t) => {
    const server = await startPostgres(t)
    const { store } = await openScene(t, server)
    const asked = new Map<string, ReturnType<typeof newAccount>>()
    const told = new Set<string>()
    let failed = 0
    let down = false
    const work = async (worker: number) => {
      for (let n = 0; !down; n++) {
        const account = newAccount(`k${worker}x${n}`)
        asked.set(account.handle, account)
        try {
          await store.register(account, NOW)
          told.add(account.handle)
        } catch (error) {
          t.match(error, { code: 'unavailable' })
          failed++
          down = true
        }
      }
    }
    const workers = Array.from({ length: 16 }, (_, worker) => work(worker))
    await eventually('work is under way', () => told.size > 100, LONG)
    await server.kill()
    await soon(Promise.all(workers))
    t.ok(failed > 1, 'the kill came in the middle')
    await server.start()
    await answersAgain(store, [...told][0]!)

    const wrong: string[] = []
    for (const { handle, user, device } of asked.values()) {
      const profile = await store.profileOf(handle)
      if (profile === undefined) {
        if (told.has(handle)) wrong.push(`${handle} is lost`)
        continue
      }
      const [row] = await store.pending(1, user)
      const standing = await store.standing(user, device.device)
      if (row?.version !== 1 || standing?.generation !== 1) wrong.push(`${handle} is half there`)
    }
    t.same(wrong, [])
  },
)

t.test(
  'a connection that ends: what has not happened is done again, unseen',
  { skip },
  async (t) => {
    const server = await startPostgres(t)
    const { store, url } = await openScene(t, server)
    const ann = newAccount('ann')
    await store.register(ann, NOW)
    const end = (where: string) =>
      server.sql(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
       and application_name = 'parley' and ${where}`,
        url,
      )
    t.ok((await end('true')).length > 0)
    t.match(await store.profileOf('ann'), { handle: 'ann' })
    await end('true')
    t.match(await store.rename(ann.user, 'Ann 2', NOW), { name: 'Ann 2' })

    // In the middle of a transaction, which a trigger holds up the first time.
    await server.sql(
      `create table once (n int); insert into once values (1);
     create function hold() returns trigger language plpgsql as $$ begin
       if exists (select from once) then perform pg_sleep(20); end if; return new; end $$;
     create trigger hold before update on users for each row execute function hold()`,
      url,
    )
    const renamed = store.rename(ann.user, 'Ann 3', NOW)
    await eventually(
      'it is held up',
      async () =>
        (await server.sql(`select 1 from pg_stat_activity where wait_event = 'PgSleep'`, url))
          .length > 0,
    )
    await server.sql('delete from once', url)
    await end(`wait_event = 'PgSleep'`)
    t.match(await renamed, { name: 'Ann 3' })
    t.match(await store.pending(1, ann.user), [{ version: 3 }], 'it has happened once')
  },
)

t.test(
  'a commit whose answer is lost is told as in doubt, and is not done again',
  { skip },
  async (t) => {
    const server = await startPostgres(t)
    const { store, url } = await openScene(t, server)
    const ann = newAccount('ann')
    await store.register(ann, NOW)
    // Held up inside of COMMIT.
    await server.sql(
      `create table commits (n serial);
     create function hold() returns trigger language plpgsql as $$ begin
       insert into commits default values; perform pg_sleep(20); return null; end $$;
     create constraint trigger hold after update on users deferrable initially deferred
       for each row execute function hold()`,
      url,
    )
    const renamed = store.rename(ann.user, 'Ann 2', NOW)
    const told = t.rejects(renamed, { code: 'unavailable', message: /during a commit/ })
    await eventually('it commits', async () => {
      const rows = await server.sql(
        `select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'commit%'
       and wait_event = 'PgSleep'`,
        url,
      )
      return rows.length > 0
    })
    await told
    t.match(await store.profileOf('ann'), { name: 'Name of ann' })
  },
)

t.test(
  'all connections are in use: refused as overloaded, and the rest goes on',
  { skip },
  async (t) => {
    const server = await startPostgres(t)
    const { store, url, events } = await openScene(t, server, { pool: 2 })
    const [ann, ben] = [newAccount('ann'), newAccount('ben')]
    for (const one of [ann, ben]) await store.register(one, NOW)
    await server.sql(
      `create function slow() returns trigger language plpgsql as $$ begin
         perform pg_sleep(3); return new; end $$;
       create trigger slow before update on users for each row when (new.name <> old.name)
         execute function slow()`,
      url,
    )
    const waiting = [ann, ben].map(({ user, handle }) => store.rename(user, `${handle} 2`, NOW))
    await t.rejects(store.profileOf('ann'), {
      code: 'overloaded',
      message: /all 2 connections .*--postgres-pool/,
    })
    t.match(await Promise.all(waiting), [{ name: 'ann 2' }, { name: 'ben 2' }])
    t.match(await store.profileOf('ann'), { name: 'ann 2' })
    t.same(
      events.filter(({ event }) => event === 'directory.lost'),
      [],
      'a slow server is not a lost one',
    )

    const crowd = await Promise.allSettled(
      Array.from({ length: 2000 }, () => store.profileOf('ann')),
    )
    const refused = crowd.filter((one) => one.status === 'rejected')
    t.ok(refused.length >= 900, 'what waits is bounded')
    t.ok(refused.every(({ reason }) => reason.code === 'overloaded'))
  },
)

t.test('a row that others hold for too long is told as such', { skip }, async (t) => {
  const server = await startPostgres(t)
  const { store, url } = await openScene(t, server)
  const ann = newAccount('ann')
  await store.register(ann, NOW)
  const held = server
    .sql(`begin; update users set created = created; select pg_sleep(6); commit`, url)
    .catch(() => undefined)
  await eventually(
    'the row is held',
    async () =>
      (await server.sql(`select 1 from pg_stat_activity where wait_event = 'PgSleep'`, url))
        .length > 0,
  )
  await t.rejects(store.rename(ann.user, 'Ann 2', NOW), {
    code: 'unavailable',
    message: /lock_timeout/,
  })
  await server.sql(
    `select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'`,
  )
  await held
  t.match(await store.rename(ann.user, 'Ann 3', NOW), { name: 'Ann 3' })
})
