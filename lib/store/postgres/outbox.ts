/** The part of the directory that lib/api/outbox.ts publishes from. */
import { and, asc, eq, isNotNull, isNull, or } from 'drizzle-orm'
import type { DirectoryStore } from '../directory/directory.ts'
import type { DirectoryParts } from './database.ts'
import { outbox } from './schema.ts'

type Outbox = Pick<DirectoryStore, 'pending' | 'published' | 'resend'>

export const outboxRows = ({ db }: DirectoryParts): Outbox => ({
  pending: (limit, user) =>
    db.statement((db) =>
      db
        .select({ user: outbox.user, version: outbox.version, payload: outbox.payload })
        .from(outbox)
        .where(
          and(isNull(outbox.published), user === undefined ? undefined : eq(outbox.user, user)),
        )
        .orderBy(asc(outbox.changed), asc(outbox.user))
        .limit(limit),
    ),

  published: async (rows, now) => {
    if (rows.length === 0) return
    const confirmed = and(
      isNull(outbox.published),
      or(
        ...rows.map(({ user, version }) => and(eq(outbox.user, user), eq(outbox.version, version))),
      ),
    )
    await db.transaction(async (tx) => {
      // Locked in one order: two processes that confirm the same rows would else stop each other for a second.
      const locked = await tx
        .select({ user: outbox.user })
        .from(outbox)
        .where(confirmed)
        .orderBy(asc(outbox.user))
        .for('update')
      if (locked.length > 0) await tx.update(outbox).set({ published: now }).where(confirmed)
    })
  },

  // A transaction, although it is one statement: a repetition would count what the first one left.
  resend: () =>
    db.transaction(async (tx) => {
      const rows = await tx
        .update(outbox)
        .set({ published: null })
        .where(isNotNull(outbox.published))
        .returning({ user: outbox.user })
      return rows.length
    }, 'bulk'),
})
