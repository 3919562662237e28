/**
 * The tables of the directory, the same on PostgreSQL and on PGlite. After a change run
 * `npx drizzle-kit generate --config lib/store/postgres/drizzle.config.ts` and commit what it writes. Times are ms.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  customType,
  index,
  integer,
  pgTable,
  primaryKey,
  smallint,
  text,
} from 'drizzle-orm/pg-core'
import type { DeviceId, UserId } from '../../ids.ts'

const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'bytea',
  // One driver gives a Buffer, which may share its memory with others.
  fromDriver: (value) => new Uint8Array(value),
})
const ms = () => bigint({ mode: 'number' })

export const users = pgTable('users', {
  id: text().$type<UserId>().primaryKey(),
  /** Folded to lower case. */
  handle: text().notNull().unique(),
  password: text().notNull(),
  name: text().notNull(),
  generation: integer().notNull(),
  /** Grows with each change; the version of the account record. */
  version: bigint({ mode: 'number' }).notNull(),
  /** A number of DM_POLICIES. */
  policy: smallint().notNull(),
  created: ms().notNull(),
})

export const devices = pgTable(
  'devices',
  {
    id: text().$type<DeviceId>().primaryKey(),
    user: text()
      .$type<UserId>()
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    name: text().notNull(),
    created: ms().notNull(),
    used: ms().notNull(),
    removed: ms(),
  },
  (table) => [index('devices_of_user').on(table.user)],
)

/** One row per device: a token's number and MAC tell an old one from a forged one (lib/tokens/refresh.ts). */
export const refreshTokens = pgTable('refresh_tokens', {
  device: text()
    .$type<DeviceId>()
    .primaryKey()
    .references(() => devices.id, { onDelete: 'cascade' }),
  n: integer().notNull(),
  hash: bytea().notNull(),
  /** Of the request that made this the newest, if it said one: its resend gets the same answer. */
  attempt: bytea(),
  expires: ms().notNull(),
})

/** The newest record of each user and kind; `published` is null until it is confirmed. */
export const outbox = pgTable(
  'outbox',
  {
    user: text()
      .$type<UserId>()
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    kind: text({ enum: ['account'] }).notNull(),
    version: bigint({ mode: 'number' }).notNull(),
    payload: bytea().notNull(),
    changed: ms().notNull(),
    published: ms(),
  },
  (table) => [
    primaryKey({ columns: [table.user, table.kind] }),
    index('outbox_pending').on(table.changed, table.user).where(sql`published is null`),
  ],
)
