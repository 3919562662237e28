/** How every change of an account ends: with the new full record in the outbox (contracts I6). */
import { and, eq, lt, sql } from 'drizzle-orm'
import type { UserId } from '../../ids.ts'
import { encodeAccount } from '../../protocol/account.ts'
import type { Database } from './database.ts'
import { devices, outbox, users } from './schema.ts'

export type UserRow = typeof users.$inferSelect
type DeviceFacts = Pick<typeof devices.$inferSelect, 'id' | 'removed'>

/** The user's row, locked until the transaction ends: changes of one account happen one after the other. */
export const lockUser = async (tx: Database, user: UserId): Promise<UserRow | undefined> => {
  const [row] = await tx.select().from(users).where(eq(users.id, user)).for('update')
  return row
}

/** Raises the version, forgets devices removed before `forget`, and puts the account record into the outbox. */
export const accountChanged = async (
  tx: Database,
  user: UserId,
  now: number,
  forget: number,
): Promise<UserRow> => {
  await tx.delete(devices).where(and(eq(devices.user, user), lt(devices.removed, forget)))
  const known = await tx
    .select({ id: devices.id, removed: devices.removed })
    .from(devices)
    .where(eq(devices.user, user))
    .orderBy(devices.created, devices.id)
  const [row] = await tx
    .update(users)
    .set({ version: sql`${users.version} + 1` })
    .where(eq(users.id, user))
    .returning()
  if (row === undefined) throw new Error('the account that changed is gone')
  await tx
    .insert(outbox)
    .values(outboxRow(row, known, now))
    .onConflictDoUpdate({
      target: [outbox.user, outbox.kind],
      set: {
        version: sql`excluded.version`,
        payload: sql`excluded.payload`,
        changed: sql`excluded.changed`,
        published: null,
      },
    })
  return row
}

export const outboxRow = (
  row: UserRow,
  known: readonly DeviceFacts[],
  now: number,
): typeof outbox.$inferInsert => ({
  user: row.id,
  kind: 'account' as const,
  version: row.version,
  payload: encodeAccount({
    user: row.id,
    version: row.version,
    exists: true,
    tokenGeneration: row.generation,
    devices: known.map(({ id, removed }) => ({ device: id, removed: removed !== null })),
    policy: row.policy,
    handle: row.handle,
    blocked: [],
  }),
  changed: now,
})
