import t from 'tap'
import type { UserId } from '../ids.ts'
import type { AccountRecord } from '../protocol/account.ts'
import type { DirectoryStore } from '../store/directory/directory.ts'
import { NOW, newAccount, openScene } from '../testing/directory-scene.ts'
import { eventually } from '../testing/eventually.ts'
import { seeded } from '../testing/seeded.ts'
import { skipWithout } from '../testing/servers/availability.ts'
import { startPostgres } from '../testing/servers/postgres.ts'
import { findPostgres } from '../testing/servers/postgres-binaries.ts'
import { Outbox } from './outbox.ts'

const skip = await skipWithout('PostgreSQL', findPostgres)
const LONG = { within: 60_000 }
const USERS = 16
const CHANGES = 12

/** What user actors make of the records that reach an inbox: of two the higher version wins (contracts I6). */
class Inbox {
  readonly newest = new Map<UserId, AccountRecord>()
  readonly #random = seeded(7)
  published = 0
  /** Versions that were confirmed although the inbox had not taken them, or one above. */
  readonly wrong: string[] = []

  /** Slow now and then, so that records of one user overtake each other; and it fails now and then. */
  async publish(record: AccountRecord): Promise<void> {
    for (let turns = Math.floor(this.#random() * 20); turns > 0; turns--) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (this.#random() < 0.1) throw new Error('no PubAck')
    this.published++
    const known = this.newest.get(record.user)
    if (known === undefined || known.version < record.version) this.newest.set(record.user, record)
  }

  /** A directory whose confirmations are held against what was taken. */
  checked(store: DirectoryStore): Pick<DirectoryStore, 'pending' | 'published' | 'resend'> {
    return {
      pending: (limit, user) => store.pending(limit, user),
      resend: () => store.resend(),
      published: (rows, now) => {
        for (const { user, version } of rows) {
          const taken = this.newest.get(user)?.version ?? 0
          if (taken < version) this.wrong.push(`${user} ${version} before ${taken}`)
        }
        return store.published(rows, now)
      },
    }
  }
}

t.test(
  'I6 two API processes on one PostgreSQL: every record gets through, none is confirmed early',
  { skip },
  async (t) => {
    const server = await startPostgres(t)
    const { store, open } = await openScene(t, server)
    const stores = [store, await open()]
    const inbox = new Inbox()
    const outboxes = stores.map(
      (one) =>
        new Outbox({
          directory: inbox.checked(one),
          publishAccount: (record) => inbox.publish(record),
          log: { warn: () => {} },
        }),
    )
    for (const outbox of outboxes) {
      await outbox.start()
      t.teardown(() => outbox.drain(0))
    }

    const accounts = Array.from({ length: USERS }, (_, n) => newAccount(`user${n}`))
    let confirmed = 0
    const live = async (n: number) => {
      const { user } = accounts[n]!
      await stores[n % 2]!.register(accounts[n]!, NOW)
      for (let change = 1; change <= CHANGES; change++) {
        // Now in one process, now in the other, and often in both at once.
        const at = (n + change) % 2
        await Promise.all([
          stores[at]!.rename(user, `name ${change}`, NOW + change),
          stores[1 - at]!.rename(user, `other ${change}`, NOW + change),
        ])
        if (await outboxes[at]!.confirm(user, 30_000)) confirmed++
        else t.fail('not confirmed')
        const taken = inbox.newest.get(user)?.version ?? 0
        t.ok(taken >= 1 + 2 * change, `the actor knows version ${1 + 2 * change}, has ${taken}`)
      }
    }
    await Promise.all(accounts.map((_, n) => live(n)))
    t.equal(confirmed, USERS * CHANGES)
    await eventually('nothing is pending', async () => (await store.pending(1)).length === 0, LONG)

    const last = 1 + 2 * CHANGES
    for (const { user, handle } of accounts) {
      t.match(
        inbox.newest.get(user),
        { version: last, handle },
        `${handle} ends with its newest state`,
      )
    }
    t.same(inbox.wrong, [])
    t.ok(inbox.published >= USERS * CHANGES)
  },
)

t.test(
  'I6 a process that dies with records in hand: the other one brings them',
  { skip },
  async (t) => {
    const server = await startPostgres(t)
    const { store, open } = await openScene(t, server)
    const accounts = Array.from({ length: 600 }, (_, n) => newAccount(`user${n}`))
    await store.seed(accounts, NOW)
    const taken = new Map<UserId, number>()
    const hangs = new Outbox({
      directory: store,
      publishAccount: () => new Promise(() => {}),
      log: { warn: () => {} },
    })
    await hangs.start()
    const other = new Outbox({
      directory: await open(),
      publishAccount: async ({ user, version }) => void taken.set(user, version),
      log: { warn: () => {} },
    })
    await other.start()
    t.teardown(() => other.drain(0))
    await eventually('nothing is pending', async () => (await store.pending(1)).length === 0, LONG)
    t.equal(taken.size, accounts.length)
    await hangs.drain(0)
  },
)
