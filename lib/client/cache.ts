/** What a client keeps between connections and, with a lasting cache, between runs. */
import type { DeviceId, RoomId, UserId } from '../ids.ts'
import type { Entry } from './events.ts'
import type { Change, Saved } from './saved.ts'

/** Who this profile is, and its tokens. */
export type Account = {
  /** Address of the API that the tokens are of. */
  readonly server: string
  readonly user: UserId
  readonly handle: string
  readonly device: DeviceId
  readonly access: string
  /** When `access` ends, ms since 1970 by the local clock. */
  readonly accessUntil: number
  /** Works once (Locks `tokens`). */
  readonly refresh: string
  /** A refresh that was begun: the answer may have been lost, and asking the same again is no harm. */
  readonly attempt?: string
}

/**
 * The memory of one profile. All but the account has one writer, the holder of the lock `outbox`; another client of
 * the profile reads what was there when it opened and keeps its own changes to itself.
 */
export interface Cache {
  /** Reads what is stored, anew each time. Before that, `saved` is empty. With `lasting` false no change is stored. */
  open(lasting: boolean): Promise<void>
  /** The fold of all changes. Changed by `write` alone. */
  readonly saved: Saved
  /**
   * Applies changes to `saved` at once, in order. Resolves when they would outlive a crash of the process: all of
   * those given together, or none.
   */
  write(changes: readonly Change[]): Promise<void>
  /** Of every client of the profile, read anew. */
  account(): Promise<Account | undefined>
  saveAccount(account: Account | undefined): Promise<void>
  /** The kept entries that reach into first … last, ascending; there may be holes. */
  events(room: RoomId, first: number, last: number): Promise<Entry[]>
  /** Keeps entries, in any order, some of them known perhaps. The oldest may go again. */
  keep(room: RoomId, entries: readonly Entry[]): Promise<void>
  /** Forgets all of this profile but its account: another device begins. */
  reset(): Promise<void>
  close(): Promise<void>
}
