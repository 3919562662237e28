/** The part of the directory about devices and what proves that one is logged in. */
import { and, asc, eq, isNull, ne } from 'drizzle-orm'
import { refuse } from '../../errors.ts'
import type { DeviceId, UserId } from '../../ids.ts'
import type { DirectoryStore } from '../directory/directory.ts'
import { accountChanged, lockUser } from './account-row.ts'
import type { Database, DirectoryParts } from './database.ts'
import { devices, refreshTokens, users } from './schema.ts'

type Sessions = Pick<
  DirectoryStore,
  'login' | 'rotate' | 'removeDevice' | 'changePassword' | 'standing' | 'devices'
>

/** How long to wait when too many removed devices are remembered: they go one by one, within a day. */
const FORGET_MS = 3_600_000

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

const deviceRow = async (tx: Database, user: UserId, device: DeviceId) => {
  const [row] = await tx
    .select()
    .from(devices)
    .where(and(eq(devices.id, device), eq(devices.user, user)))
  return row
}

/** Only the mark stays, so that its tokens are known to be void. */
const remove = async (tx: Database, device: DeviceId, now: number): Promise<void> => {
  await tx.update(devices).set({ removed: now }).where(eq(devices.id, device))
  await tx.delete(refreshTokens).where(eq(refreshTokens.device, device))
}

export const sessions = ({ db, limits }: DirectoryParts): Sessions => {
  const changed = (tx: Database, user: UserId, now: number) =>
    accountChanged(tx, user, now, now - limits.keepRemovedMs)

  return {
    login: ({ user, generation, device, replaces }, now) =>
      db.transaction(async (tx) => {
        const row = await lockUser(tx, user)
        if (row?.generation !== generation) return refuse('unauthorized')
        const known = await tx.select().from(devices).where(eq(devices.user, user))
        const live = known.filter(({ removed }) => removed === null)
        const replaced = live.find(({ id }) => id === replaces)
        if (live.length - (replaced === undefined ? 0 : 1) >= limits.maxDevices) {
          return refuse('limit')
        }
        const remembered = known.filter(
          ({ removed }) => removed !== null && removed >= now - limits.keepRemovedMs,
        )
        if (remembered.length >= limits.maxRemoved) return refuse('rate', undefined, FORGET_MS)
        if (replaced !== undefined) await remove(tx, replaced.id, now)
        await tx
          .insert(devices)
          .values({ id: device.device, user, name: device.name, created: now, used: now })
        await tx.insert(refreshTokens).values({ device: device.device, ...device.refresh })
        await changed(tx, user, now)
        return { user, device: device.device, generation }
      }),

    rotate: ({ device, n, hash, next, attempt }, now) =>
      db.transaction(async (tx) => {
        const [owner] = await tx
          .select({ user: devices.user })
          .from(devices)
          .where(eq(devices.id, device))
        const row = owner && (await lockUser(tx, owner.user))
        if (row === undefined) return refuse('unauthorized')
        const [chain] = await tx
          .select()
          .from(refreshTokens)
          .where(eq(refreshTokens.device, device))
        if (chain === undefined) return refuse('device_removed')
        const grant = { user: row.id, device, generation: row.generation }
        const isResend =
          n === chain.n - 1 &&
          attempt !== undefined &&
          chain.attempt !== null &&
          same(attempt, chain.attempt) &&
          same(next.hash, chain.hash)
        if (isResend) return grant
        if (n < chain.n) {
          await remove(tx, device, now)
          await changed(tx, row.id, now)
          return refuse('unauthorized', 'This token was used before; the device is logged out.')
        }
        if (n > chain.n || !same(hash, chain.hash) || chain.expires <= now) {
          return refuse('unauthorized')
        }
        await tx
          .update(refreshTokens)
          .set({ ...next, attempt: attempt ?? null })
          .where(eq(refreshTokens.device, device))
        await tx.update(devices).set({ used: now }).where(eq(devices.id, device))
        return grant
      }),

    removeDevice: (user, device, now) =>
      db.transaction(async (tx) => {
        await lockUser(tx, user)
        const row = await deviceRow(tx, user, device)
        if (row === undefined) return false
        if (row.removed === null) {
          await remove(tx, device, now)
          await changed(tx, user, now)
        }
        return true
      }),

    changePassword: ({ was, passwordHash, refresh }, now) =>
      db.transaction(async (tx) => {
        const row = await lockUser(tx, was.user)
        const own = await deviceRow(tx, was.user, was.device)
        if (row?.generation !== was.generation || own === undefined || own.removed !== null) {
          return refuse('unauthorized')
        }
        const others = await tx
          .select({ id: devices.id })
          .from(devices)
          .where(
            and(eq(devices.user, was.user), ne(devices.id, was.device), isNull(devices.removed)),
          )
        for (const { id } of others) await remove(tx, id, now)
        const generation = row.generation + 1
        await tx
          .update(users)
          .set({ password: passwordHash, generation })
          .where(eq(users.id, was.user))
        await tx
          .update(refreshTokens)
          .set({ ...refresh, attempt: null })
          .where(eq(refreshTokens.device, was.device))
        await changed(tx, was.user, now)
        return { ...was, generation }
      }),

    standing: (user, device) =>
      db.statement(async (db) => {
        const [row] = await db
          .select({ generation: users.generation, removed: devices.removed })
          .from(devices)
          .innerJoin(users, eq(users.id, devices.user))
          .where(and(eq(devices.id, device), eq(devices.user, user)))
        return row && { generation: row.generation, removed: row.removed !== null }
      }),

    devices: (user) =>
      db.statement((db) =>
        db
          .select({
            device: devices.id,
            name: devices.name,
            created: devices.created,
            used: devices.used,
          })
          .from(devices)
          .where(and(eq(devices.user, user), isNull(devices.removed)))
          .orderBy(asc(devices.created), asc(devices.id)),
      ),
  }
}
