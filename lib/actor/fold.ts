/**
 * The users of one partition while this host owns it: folds `inbox.<p>` into user actors and stores the result
 * (contracts I). Answers leave through the partition's lease (contracts L10); sessions are sessions.ts.
 *
 * I1. Everything up to `floor` is in the store, and in the durable queues that want it.
 *     A pointer is stored only once it is in its user's queues: whoever folds it again must see what was known before.
 * I2. A loaded user's state holds every entry that was folded, whatever is stored while the rows are read.
 */
import type { StreamRecord } from '../bus/record-source.ts'
import type { UserId } from '../ids.ts'
import { type InboxEntry, readInbox } from '../protocol/inbox.ts'
import type { StateStore, UserRow } from '../store/state/state.ts'
import { ACCOUNT_KEY, type UserBehavior, type UserEntry } from './behavior.ts'
import { UserActor } from './user-actor.ts'
import { entryOf, isEntry, rowOf } from './user-row.ts'

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

/** The durable queues, as far as the fold must know of them (queues.ts). */
export type FoldQueues = {
  entry(entry: InboxEntry): void
  /** The message at `position` has been read to its end. */
  message(position: number): void
  readonly safe: number
  /** The same for the queues of one user. */
  safeFor(user: UserId): number
  readonly full: boolean
  readonly dirty: boolean
  readonly drained: boolean
  take(): { readonly rows: readonly UserRow[]; stored(): void }
}

const NO_QUEUES: FoldQueues = {
  entry: () => {},
  message: () => {},
  safe: Number.POSITIVE_INFINITY,
  safeFor: () => Number.POSITIVE_INFINITY,
  full: false,
  dirty: false,
  drained: true,
  take: () => ({ rows: [], stored: () => {} }),
}

/** A passive user's actor is dropped after this long. */
const IDLE_MS = 60_000
const SAVE_MS = 1000
/** Entries kept in memory before they are stored at once, and before the inbox is left waiting. */
const SAVE_ENTRIES = 20_000
const MAX_UNSAVED = 200_000
/** Askers that may wait for one user's rows. */
const MAX_WAITING = 256
const ROWS_AT_ONCE = 2000
/** The floor only bounds what a new owner folds again, so it need not follow every save. */
const FLOOR_MS = 10_000

export class Fold<State> {
  readonly p: number
  readonly #context: FoldContext<State>
  readonly #users = new Map<UserId, UserActor<State>>()
  readonly #unsaved = new Set<UserActor<State>>()
  #unsavedEntries = 0
  /** Of these, those that the last save left waiting for their queues. */
  #held = 0
  readonly #queues: FoldQueues
  readonly #maxUnsaved: number
  /** Newest folded position, and the one up to which the store has everything. */
  position: number
  floor: number
  #saving: Promise<void> | undefined
  #failing = false
  #savedAt = 0
  /** The floor follows at once: the partition is being given up. */
  hurry = false
  #floorAt = 0
  #stopped = false
  readonly #markers = new Map<string, () => void>()

  constructor(
    context: FoldContext<State>,
    p: number,
    floor: number,
    queues: FoldQueues = NO_QUEUES,
    maxUnsaved = MAX_UNSAVED,
  ) {
    this.#context = context
    this.p = p
    this.floor = floor
    this.position = floor
    this.#queues = queues
    this.#maxUnsaved = maxUnsaved
  }

  get users(): number {
    return this.#users.size
  }

  all(): IterableIterator<UserActor<State>> {
    return this.#users.values()
  }

  /** Resolves when the marker has come by: everything before it is folded. */
  marker(nonce: string): Promise<void> {
    return new Promise((resolve) => this.#markers.set(nonce, resolve))
  }

  /** True when the inbox should be left waiting: the store, or a queue, takes nothing. */
  get full(): boolean {
    return this.#unsavedEntries > this.#maxUnsaved || this.#queues.full
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** A message of the inbox. Repeated ones do no harm. */
  onMessage({ position, data }: Pick<StreamRecord, 'position' | 'data'>): void {
    if (this.#stopped || position <= this.position) return
    const changed = new Set<UserActor<State>>()
    const markers: string[] = []
    try {
      readInbox(data, (entry) => {
        if (entry.kind === 'marker') markers.push(entry.nonce)
        else {
          this.#guarded(position, () => this.#queues.entry(entry))
          this.#guarded(position, () => this.#entry(entry, position, changed))
        }
      })
    } catch (cause) {
      // A batch that can't be read must not stop the inbox of everybody else; it stays in the stream to look at.
      this.#context.poisoned(this.p, position, cause)
    }
    this.#queues.message(position)
    this.position = position
    if (changed.size > 0) this.#context.folded(changed, position)
    for (const nonce of markers) {
      this.#markers.get(nonce)?.()
      this.#markers.delete(nonce)
    }
    const many = this.#unsavedEntries - this.#held > SAVE_ENTRIES
    // After a failure the pulse tries again, at its pace.
    if (many && this.#saving === undefined && !this.#failing) void this.save()
  }

  /** What can't be read of one entry must not cost the other users of its batch theirs. */
  #guarded(position: number, work: () => void): void {
    try {
      work()
    } catch (cause) {
      this.#context.poisoned(this.p, position, cause)
    }
  }

  #entry(
    entry: Exclude<InboxEntry, { kind: 'marker' }>,
    position: number,
    changed: Set<UserActor<State>>,
  ): void {
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
    if (this.#stopped || user.waiting.length >= MAX_WAITING) {
      failed()
      return
    }
    user.waiting.push(() => (user.loaded && !this.#stopped ? work(user) : failed()))
    if (!user.loading) void this.#load(user)
  }

  async #load(user: UserActor<State>): Promise<void> {
    user.loading = true
    const { behavior, state } = this.#context
    try {
      const rows = await state.user(user.id)
      const fresh = behavior.empty(user.id)
      const stored = rows.filter(({ key }) => isEntry(key)).map(entryOf)
      for (const entry of [...stored, ...user.stored, ...user.unsaved.values()]) {
        this.#guarded(entry.position, () => behavior.fold(fresh, entry))
      }
      user.state = fresh
      user.loaded = true
    } catch (cause) {
      this.#context.storeFailed(this.p, user.id, cause)
    }
    user.loading = false
    user.stored.length = 0
    for (const waiting of user.waiting.splice(0)) waiting()
  }

  /** Every 100 ms or so. */
  pulse(now: number): void {
    if (this.#stopped || this.#saving !== undefined || now - this.#savedAt < SAVE_MS) return
    const due = this.position > this.floor && now - this.#floorAt >= FLOOR_MS
    if (this.#unsavedEntries > 0 || this.#queues.dirty || due) void this.save()
  }

  /** Stores what is unsaved; afterwards everything up to the position at its start is safe. */
  async save(): Promise<void> {
    // One at a time: what another one has not stored yet must not count as stored.
    while (this.#saving !== undefined) await this.#saving
    this.#saving = this.#save().finally(() => {
      this.#savedAt = this.#context.monotonic()
      this.#saving = undefined
    })
    await this.#saving
  }

  async #save(): Promise<void> {
    const { state, monotonic, saveFloor } = this.#context
    const position = Math.min(this.position, this.#queues.safe)
    const queues = this.#queues.take()
    const users = [...this.#unsaved]
    this.#unsaved.clear()
    this.#held = 0
    const entries: [UserActor<State>, UserEntry][] = []
    for (const user of users) {
      const safe = this.#queues.safeFor(user.id)
      for (const entry of user.unsaved.values()) {
        if (entry.position <= safe) entries.push([user, entry])
        else {
          this.#held++
          this.#unsaved.add(user)
        }
      }
    }
    try {
      for (let i = 0; i < entries.length; i += ROWS_AT_ONCE) {
        const part = entries.slice(i, i + ROWS_AT_ONCE)
        await state.saveUsers(part.map(([user, entry]) => rowOf(user.id, entry)))
        for (const [user, entry] of part) this.#stored(user, entry)
      }
      if (queues.rows.length > 0) await state.saveUsers(queues.rows)
      queues.stored()
      this.#failing = false
      const due = monotonic() - this.#floorAt >= FLOOR_MS || this.hurry
      if (!this.#stopped && position > this.floor && due) {
        await saveFloor(this.p, position)
        this.floor = position
        this.#floorAt = monotonic()
      }
    } catch (cause) {
      this.#failing = true
      for (const user of users) if (user.unsaved.size > 0) this.#unsaved.add(user)
      this.#context.storeFailed(this.p, undefined, cause)
    }
  }

  #stored(user: UserActor<State>, entry: UserEntry): void {
    // Its rows may have been read before this one was there.
    if (user.loading) user.stored.push(entry)
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
    return this.#unsavedEntries === 0 && this.#saving === undefined && this.#queues.drained
  }

  stop(): void {
    this.#stopped = true
    for (const user of this.#users.values()) for (const waiting of user.waiting.splice(0)) waiting()
    this.#users.clear()
  }
}
