/** The part of the directory about users: handles, passwords, profiles. */
import { eq, inArray } from 'drizzle-orm'
import { ParleyError, refuse } from '../../errors.ts'
import { DM_POLICIES } from '../../protocol/account.ts'
import type { DirectoryStore, NewAccount, Profile } from '../directory/directory.ts'
import { accountChanged, lockUser, outboxRow, type UserRow } from './account-row.ts'
import type { DirectoryParts } from './database.ts'
import { devices, outbox, refreshTokens, users } from './schema.ts'

type Accounts = Pick<
  DirectoryStore,
  'register' | 'unregister' | 'credentials' | 'rename' | 'profileOf' | 'profiles' | 'seed'
>

/** Rows to one statement: far below the 65,535 parameters that PostgreSQL takes. */
const AT_ONCE = 1000

const PROFILE = { user: users.id, handle: users.handle, name: users.name, created: users.created }

const profileIn = ({ id, handle, name, created }: UserRow): Profile => ({
  user: id,
  handle,
  name,
  created,
})

const newUser = (account: NewAccount, version: number, now: number): UserRow => ({
  id: account.user,
  handle: account.handle,
  password: account.passwordHash,
  name: account.name,
  generation: 1,
  version,
  policy: DM_POLICIES.everyone,
  created: now,
})

const newDevice = ({ user, device }: Pick<NewAccount, 'user' | 'device'>, now: number) => ({
  id: device.device,
  user,
  name: device.name,
  created: now,
  used: now,
})

export const accounts = ({ db, limits }: DirectoryParts): Accounts => ({
  register: (account, now) =>
    db.transaction(async (tx) => {
      const [made] = await tx
        .insert(users)
        .values(newUser(account, 0, now))
        .onConflictDoNothing({ target: users.handle })
        .returning({ id: users.id })
      if (made === undefined) return refuse('exists')
      await tx.insert(devices).values(newDevice(account, now))
      await tx
        .insert(refreshTokens)
        .values({ device: account.device.device, ...account.device.refresh })
      const { generation } = await accountChanged(tx, account.user, now, now - limits.keepRemovedMs)
      return { user: account.user, device: account.device.device, generation }
    }),

  unregister: (user) =>
    db.statement(async (db) => {
      await db.delete(users).where(eq(users.id, user))
    }),

  credentials: (handle) =>
    db.statement(async (db) => {
      const [row] = await db
        .select({ ...PROFILE, passwordHash: users.password, generation: users.generation })
        .from(users)
        .where(eq(users.handle, handle))
      return row
    }),

  rename: (user, name, now) =>
    db.transaction(async (tx) => {
      if ((await lockUser(tx, user)) === undefined) return undefined
      await tx.update(users).set({ name }).where(eq(users.id, user))
      return profileIn(await accountChanged(tx, user, now, now - limits.keepRemovedMs))
    }),

  profileOf: (handle) =>
    db.statement(async (db) => {
      const [row] = await db.select(PROFILE).from(users).where(eq(users.handle, handle))
      return row
    }),

  profiles: async (ids) =>
    ids.length === 0
      ? []
      : await db.statement((db) =>
          db
            .select(PROFILE)
            .from(users)
            .where(inArray(users.id, [...ids])),
        ),

  seed: (all, now) =>
    db.transaction(async (tx) => {
      for (let from = 0; from < all.length; from += AT_ONCE) {
        const some = all.slice(from, from + AT_ONCE)
        const rows = some.map((account) => newUser(account, 1, now))
        const made = await tx
          .insert(users)
          .values(rows)
          .onConflictDoNothing({ target: users.handle })
          .returning({ id: users.id })
        if (made.length < some.length) throw new ParleyError('exists')
        await tx.insert(devices).values(some.map((account) => newDevice(account, now)))
        await tx
          .insert(refreshTokens)
          .values(some.map(({ device }) => ({ device: device.device, ...device.refresh })))
        await tx.insert(outbox).values(
          some.map((account, at) => {
            const known = [{ id: account.device.device, removed: null }]
            return outboxRow(rows[at]!, known, now)
          }),
        )
      }
    }, 'bulk'),
})
