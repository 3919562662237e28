import type { Refusal } from '../../errors.ts'
import type { DeviceId, UserId } from '../../ids.ts'

/** The newest of a device's chain of refresh tokens: only its number and hash are kept. `expires` in ms. */
export type RefreshRow = {
  readonly n: number
  readonly hash: Uint8Array
  readonly expires: number
}

export type NewDevice = {
  readonly device: DeviceId
  readonly name: string
  readonly refresh: RefreshRow
}

export type NewAccount = {
  readonly user: UserId
  /** Folded to lower case: what makes it unique. */
  readonly handle: string
  readonly name: string
  readonly passwordHash: string
  readonly device: NewDevice
}

/** What the owner of a token may do is said by these three: they go into the next tokens. */
export type Grant = {
  readonly user: UserId
  readonly device: DeviceId
  readonly generation: number
}

export type Profile = {
  readonly user: UserId
  readonly handle: string
  readonly name: string
  /** ms since 1970 */
  readonly created: number
}

export type Credentials = Profile & {
  readonly passwordHash: string
  readonly generation: number
}

export type DeviceRow = {
  readonly device: DeviceId
  readonly name: string
  readonly created: number
  /** Last login or refresh, ms. */
  readonly used: number
}

/** A user's newest account record (lib/protocol/account.ts), encoded, that nobody has confirmed yet. */
export type OutboxRow = {
  readonly user: UserId
  readonly version: number
  readonly payload: Uint8Array
}

export type DirectoryLimits = {
  /** Live devices of a user. */
  readonly maxDevices: number
  /** How long a removed device is remembered, ms: longer than any token lives. */
  readonly keepRemovedMs: number
  /** Removed devices remembered of a user: past that, no login until some are forgotten. */
  readonly maxRemoved: number
}

export const DIRECTORY_LIMITS: DirectoryLimits = {
  maxDevices: 10,
  keepRemovedMs: 25 * 3_600_000,
  maxRemoved: 256,
}

/**
 * Accounts and devices. Every change of a user's devices, token generation or profile replaces, in the same
 * transaction, the user's row of the outbox by the new full account record, of a higher version (contracts I6).
 * Refusals are values; errors are `unavailable` (it may or may not have happened), `overloaded` (it has not) and
 * `internal`. Times are ms.
 */
export interface DirectoryStore {
  /** Refused `exists` when the handle is taken. Device and user ids are never used twice (contracts N6). */
  register(account: NewAccount, now: number): Promise<Grant | Refusal>
  /** Takes a registration back, as if it had never been. */
  unregister(user: UserId): Promise<void>
  /** For a login: by folded handle. */
  credentials(handle: string): Promise<Credentials | undefined>
  /**
   * Adds a device, in the place of `replaces` when that is one of the user's. Refused `unauthorized` when the
   * generation has moved since the password was checked, `limit` when the user has all the devices allowed,
   * `rate` when too many removed ones are remembered.
   */
  login(
    login: { user: UserId; generation: number; device: NewDevice; replaces?: DeviceId },
    now: number,
  ): Promise<Grant | Refusal>
  /**
   * Moves a device's chain of refresh tokens on from number `n` to `next`. The number before the newest is accepted
   * once more if `attempt` and `next` are those that moved it. Any other old number is a stolen token: the device is
   * removed. Refused `unauthorized` then and when the token is unknown or expired, `device_removed` when it is.
   */
  rotate(
    turn: {
      device: DeviceId
      n: number
      hash: Uint8Array
      next: RefreshRow
      attempt?: Uint8Array
    },
    now: number,
  ): Promise<Grant | Refusal>
  /** False when the user has no such device. Removing one that is removed already changes nothing. */
  removeDevice(user: UserId, device: DeviceId, now: number): Promise<boolean>
  /**
   * Sets a new password and raises the token generation; every other device is removed, this one goes on with
   * `refresh`. Refused `unauthorized` when the generation has moved or the device is removed.
   */
  changePassword(
    change: { was: Grant; passwordHash: string; refresh: RefreshRow },
    now: number,
  ): Promise<Grant | Refusal>
  /** Sets the display name; undefined when there is no such user. */
  rename(user: UserId, name: string, now: number): Promise<Profile | undefined>
  /** Whether a verified token is still good: its user's generation, and whether the device is removed. */
  standing(
    user: UserId,
    device: DeviceId,
  ): Promise<{ generation: number; removed: boolean } | undefined>
  /** Live devices, oldest first. */
  devices(user: UserId): Promise<DeviceRow[]>
  profileOf(handle: string): Promise<Profile | undefined>
  /** Those that exist, in no order. */
  profiles(users: readonly UserId[]): Promise<Profile[]>
  /** At most `limit` unconfirmed rows, those waiting longest first; of one user only when given. */
  pending(limit: number, user?: UserId): Promise<OutboxRow[]>
  /** Confirms rows of exactly these versions; a newer one stays pending. */
  published(rows: readonly { user: UserId; version: number }[], now: number): Promise<void>
  /** Makes the records of all users pending again, so that the user actors can be rebuilt; how many. */
  resend(): Promise<number>
  /** Adds many accounts at once, all or none. Error: `exists`. */
  seed(accounts: readonly NewAccount[], now: number): Promise<void>
  close(): Promise<void>
}
