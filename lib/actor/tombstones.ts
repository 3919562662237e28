/**
 * Drops the tombstones of rooms that users have left, 30 days after it (contracts I4). A cursor that is older than a
 * dropped one gets the full list; that takes knowing how far they were dropped, which is an entry of the user.
 *
 * I1. That entry is in the store before any tombstone it stands for leaves memory or the store, and it only rises.
 * I2. Only what is below the inbox floor is dropped: no owner folds it again.
 */
import type { UserId } from '../ids.ts'
import type { StateStore } from '../store/state/state.ts'
import { DROPPED_KEY, type UserBehavior, type UserEntry } from './behavior.ts'
import type { Fold } from './fold.ts'
import type { UserActor } from './user-actor.ts'
import { rowOf } from './user-row.ts'

/** How long the tombstone of a left room is kept, ms. */
export const TOMBSTONE_MS = 30 * 86_400_000
/** A user in memory is looked at this often. */
const LOOK_MS = 3_600_000
/** Users looked at, and tombstones dropped, in one step. */
const USERS = 500
export const TOMBSTONES = 1000

export type TombstonesContext<State> = {
  readonly behavior: Pick<UserBehavior<State>, 'tombstones' | 'fold' | 'drop'>
  readonly state: Pick<StateStore, 'saveUsers' | 'dropUsers'>
  /** ms since 1970 */
  now(): number
  monotonic(): number
  failed(user: UserId, cause: unknown): void
}

type Dropping<State> = {
  readonly user: UserActor<State>
  readonly entries: readonly UserEntry[]
  readonly dropped: UserEntry
}

export class Tombstones<State> {
  readonly #context: TombstonesContext<State>
  readonly #fold: Fold<State>
  #working: Promise<void> | undefined

  constructor(context: TombstonesContext<State>, fold: Fold<State>) {
    this.#context = context
    this.#fold = fold
  }

  /** One step of what is due, to be asked for every few seconds. */
  sweep(): Promise<void> {
    this.#working ??= this.#step().finally(() => {
      this.#working = undefined
    })
    return this.#working
  }

  async #step(): Promise<void> {
    const due = this.#due()
    const [first] = due
    if (first === undefined) return
    const { behavior, state, failed } = this.#context
    try {
      await state.saveUsers(due.map(({ user, dropped }) => rowOf(user.id, dropped)))
      for (const { user, entries, dropped } of due) {
        behavior.fold(user.state, dropped)
        behavior.drop(user.state, entries)
      }
      // Whatever has come of one of these rooms since is of a higher version, and stays.
      await state.dropUsers(
        due.flatMap(({ user, entries }) =>
          entries.map(({ key, version }) => ({ user: user.id, key, position: version })),
        ),
      )
    } catch (cause) {
      for (const { user } of due) user.lookedAt = undefined
      failed(first.user.id, cause)
    }
  }

  #due(): Dropping<State>[] {
    const { behavior, now, monotonic } = this.#context
    const before = now() - TOMBSTONE_MS
    const at = monotonic()
    const due: Dropping<State>[] = []
    let users = USERS
    let left = TOMBSTONES
    for (const user of this.#fold.all()) {
      if (!user.loaded || (user.lookedAt !== undefined && at - user.lookedAt < LOOK_MS)) continue
      if (users-- === 0 || left === 0) break
      const old = behavior
        .tombstones(user.state, before, this.#fold.floor)
        .filter(({ key }) => !user.unsaved.has(key))
      // The lowest first: cursors past those that go now are spared the full list.
      const entries = old.slice(0, left)
      left -= entries.length
      if (entries.length === old.length) user.lookedAt = at
      const last = entries.at(-1)
      if (last === undefined) continue
      const { position } = last
      const dropped = { key: DROPPED_KEY, version: position, position, value: new Uint8Array(0) }
      due.push({ user, entries, dropped })
    }
    return due
  }
}
