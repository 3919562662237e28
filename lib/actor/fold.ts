/**
 * The users of one partition while this host owns it: folds `inbox.<p>` into user actors and stores the result
 * (contracts I). Answers leave through the partition's lease (contracts L10); sessions are sessions.ts.
 */
import type { Consumption, StoredMessage } from '../bus/bus.ts'
import type { UserId } from '../ids.ts'
import { type InboxEntry, readInbox } from '../protocol/inbox.ts'
import { Reader } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'
import type { StateStore, UserRow } from '../store/state/state.ts'
import type { UserBehavior, UserEntry } from './behavior.ts'
import { UserActor } from './user-actor.ts'

export const ACCOUNT_KEY = '!account'

export type FoldContext<State> = {
  readonly behavior: UserBehavior<State>
  readonly state: StateStore
  monotonic(): number
  /** Stores how far the inbox of `p` is in the store; it only rises. */
  saveFloor(p: number, position: number): Promise<void>
  /** These users' entries changed by the message at `position`. */
  folded(users: ReadonlySet<UserActor<State>>, position: number): void
  storeFailed(p: number, user: UserId | undefined, cause: unknown): void
  poisoned(p: number, position: number, cause: unknown): void
}

/** A passive user's actor is dropped after this long. */
const IDLE_MS = 60_000
const SAVE_MS = 1000
/** Entries kept in memory before they are stored at once, and before the inbox is left waiting. */
const SAVE_ENTRIES = 20_000
const MAX_UNSAVED = 200_000
const ROWS_AT_ONCE = 2000
/** The floor only bounds what a new owner folds again, so it need not follow every save. */
const FLOOR_MS = 10_000

export class Fold<State> {
  readonly p: number
  readonly #context: FoldContext<State>
  readonly #users = new Map<UserId, UserActor<State>>()
  readonly #unsaved = new Set<UserActor<State>>()
  #unsavedEntries = 0
  #consumption: Consumption | undefined
  /** Newest folded position, and the one up to which the store has everything. */
  position: number
  floor: number
  #saving = false
  #savedAt = 0
  /** The floor follows at once: the partition is being given up. */
  hurry = false
  #floorAt = 0
  #stopped = false
  readonly #markers = new Map<string, () => void>()

  constructor(context: FoldContext<State>, p: number, floor: number) {
    this.#context = context
    this.p = p
    this.floor = floor
    this.position = floor
  }

  get users(): number {
    return this.#users.size
  }

  all(): IterableIterator<UserActor<State>> {
    return this.#users.values()
  }

  /** Where acknowledgements go. */
  consuming(consumption: Consumption): void {
    this.#consumption = consumption
  }

  /** Resolves when the marker has come by: everything before it is folded. */
  marker(nonce: string): Promise<void> {
    return new Promise((resolve) => this.#markers.set(nonce, resolve))
  }

  /** True when the inbox should be left waiting: the store takes nothing. */
  get full(): boolean {
    return this.#unsavedEntries > MAX_UNSAVED
  }

  /** A message of the inbox. Repeated ones do no harm. */
  onMessage(message: StoredMessage): void {
    if (this.#stopped || message.seq <= this.position) return
    const changed = new Set<UserActor<State>>()
    try {
      readInbox(message.data, (entry) => this.#entry(entry, message.seq, changed))
    } catch (cause) {
      // A batch that can't be read must not stop the inbox of everybody else; it stays in the stream to look at.
      this.#context.poisoned(this.p, message.seq, cause)
    }
    this.position = message.seq
    if (changed.size > 0) this.#context.folded(changed, message.seq)
    if (this.#unsavedEntries > SAVE_ENTRIES && !this.#saving) void this.save()
  }

  #entry(entry: InboxEntry, position: number, changed: Set<UserActor<State>>): void {
    if (entry.kind === 'marker') {
      this.#markers.get(entry.nonce)?.()
      this.#markers.delete(entry.nonce)
      return
    }
    const user = this.user(entry.user)
    const pointer = entry.kind === 'pointer'
    const stored: UserEntry = {
      key: pointer ? entry.room : ACCOUNT_KEY,
      version: entry.version,
      position,
      value: pointer ? entry.pointer : entry.account,
    }
    // Of a passive user only what came since is known: its version is compared again by the store.
    const older = user.unsaved.get(stored.key)
    if (older !== undefined && older.version >= stored.version) return
    if (user.loaded && !this.#context.behavior.fold(user.state, stored)) return
    if (older === undefined) this.#unsavedEntries++
    user.unsaved.set(stored.key, stored)
    this.#unsaved.add(user)
    changed.add(user)
  }

  /** The actor of a user of this partition, loaded or not. */
  user(id: UserId): UserActor<State> {
    let user = this.#users.get(id)
    if (user === undefined) {
      user = new UserActor(id, this.#context.behavior.empty(id))
      this.#users.set(id, user)
    }
    user.usedAt = this.#context.monotonic()
    return user
  }

  /** Runs `work` once the user's stored entries are in memory; `failed` when they can't be read for now. */
  withUser(id: UserId, work: (user: UserActor<State>) => void, failed: () => void): void {
    const user = this.user(id)
    if (user.loaded) {
      work(user)
      return
    }
    user.waiting.push(() => (user.loaded ? work(user) : failed()))
    if (!user.loading) void this.#load(user)
  }

  async #load(user: UserActor<State>): Promise<void> {
    user.loading = true
    const { behavior, state } = this.#context
    try {
      const rows = await state.user(user.id)
      const fresh = behavior.empty(user.id)
      for (const row of rows) behavior.fold(fresh, entryOf(row))
      for (const entry of user.unsaved.values()) behavior.fold(fresh, entry)
      user.state = fresh
      user.loaded = true
    } catch (cause) {
      this.#context.storeFailed(this.p, user.id, cause)
    }
    user.loading = false
    for (const waiting of user.waiting.splice(0)) waiting()
  }

  /** Every 100 ms or so. */
  pulse(now: number): void {
    if (this.#stopped || this.#saving) return
    if (this.#unsavedEntries > 0 && now - this.#savedAt >= SAVE_MS) void this.save()
    else if (
      this.#unsavedEntries === 0 &&
      this.position > this.floor &&
      now - this.#floorAt >= FLOOR_MS
    ) {
      void this.save()
    }
  }

  /** Stores what is unsaved; afterwards everything up to the position at its start is safe. */
  async save(): Promise<void> {
    this.#saving = true
    const position = this.position
    const users = [...this.#unsaved]
    this.#unsaved.clear()
    const entries: [UserActor<State>, UserEntry][] = []
    for (const user of users) for (const entry of user.unsaved.values()) entries.push([user, entry])
    try {
      for (let i = 0; i < entries.length; i += ROWS_AT_ONCE) {
        const part = entries.slice(i, i + ROWS_AT_ONCE)
        await this.#context.state.saveUsers(part.map(([user, entry]) => rowOf(user.id, entry)))
        for (const [user, entry] of part) this.#stored(user, entry)
      }
      const now = this.#context.monotonic()
      if (
        !this.#stopped &&
        position > this.floor &&
        (now - this.#floorAt >= FLOOR_MS || this.hurry)
      ) {
        await this.#context.saveFloor(this.p, position)
        this.floor = position
        this.#floorAt = this.#context.monotonic()
        this.#consumption?.ack(position)
      }
    } catch (cause) {
      for (const user of users) if (user.unsaved.size > 0) this.#unsaved.add(user)
      this.#context.storeFailed(this.p, undefined, cause)
    }
    this.#savedAt = this.#context.monotonic()
    this.#saving = false
  }

  #stored(user: UserActor<State>, entry: UserEntry): void {
    // A newer one may have come meanwhile.
    if (user.unsaved.get(entry.key) !== entry) return
    user.unsaved.delete(entry.key)
    this.#unsavedEntries--
  }

  /** Forgets users that nobody asks for. */
  passivate(now: number): void {
    for (const user of this.#users.values()) {
      if (user.idle(now, now - IDLE_MS)) this.#users.delete(user.id)
    }
  }

  /** True when the store has all that was folded. */
  get drained(): boolean {
    return this.#unsavedEntries === 0 && !this.#saving
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#consumption?.stop()
    for (const user of this.#users.values()) for (const waiting of user.waiting.splice(0)) waiting()
    this.#users.clear()
  }
}

/** A row's own position is the entry's version, since the newer state wins (contracts I1); its inbox position is inside. */
const rowOf = (user: UserId, entry: UserEntry): UserRow => ({
  user,
  key: entry.key,
  position: entry.version,
  value: new Writer(entry.value.length + 9).uint(entry.position).raw(entry.value).take(),
})

const entryOf = (row: UserRow): UserEntry => {
  const reader = new Reader(row.value)
  const position = reader.uint()
  return { key: row.key, version: row.position, position, value: row.value.subarray(reader.at) }
}
