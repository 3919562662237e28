/** The part of the directory that lib/api/outbox.ts publishes from. */
import { and, asc, eq, isNotNull, isNull, or } from 'drizzle-orm'
import type { DirectoryStore } from '../directory/directory.ts'
import type { DirectoryParts } from './database.ts'
import { outbox } from './schema.ts'

type Outbox = Pick<DirectoryStore, 'pending' | 'published' | 'resend'>

export const outboxRows = ({ db }: DirectoryParts): Outbox => ({
  pending: async (limit, user) =>
    await db
      .select({ user: outbox.user, version: outbox.version, payload: outbox.payload })
      .from(outbox)
      .where(and(isNull(outbox.published), user === undefined ? undefined : eq(outbox.user, user)))
      .orderBy(asc(outbox.changed), asc(outbox.user))
      .limit(limit),

  published: async (rows, now) => {
    if (rows.length === 0) return
    await db
      .update(outbox)
      .set({ published: now })
      .where(
        and(
          isNull(outbox.published),
          or(
            ...rows.map(({ user, version }) =>
              and(eq(outbox.user, user), eq(outbox.version, version)),
            ),
          ),
        ),
      )
  },

  resend: async () => {
    const rows = await db
      .update(outbox)
      .set({ published: null })
      .where(isNotNull(outbox.published))
      .returning({ user: outbox.user })
    return rows.length
  },
})
