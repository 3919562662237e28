/** A room as the app uses it. Nothing is kept here: all `Room`s of one id are alike. */
import { ParleyError } from '../errors.ts'
import { isDm, type RoomId, type UserId } from '../ids.ts'
import type { Patience } from './ask.ts'
import type { Command } from './command.ts'
import type { Core } from './core.ts'
import { firstOf, lastOf, ROLES, type Role, type RoomEvent, roleOf } from './events.ts'
import type { Ack } from './slot.ts'
import type { Summary } from './summary.ts'
import { sleep } from './time.ts'

export type RoomInfo = {
  /** Newest and first sequence that this user may see; 0 and 1 when there is nothing yet. */
  readonly head: number
  readonly first: number
  readonly role: Role
  /** Name of a group. */
  readonly title: string
  readonly openHistory: boolean
  readonly members: readonly {
    readonly user: UserId
    readonly role: Role
    /** Has read up to here. */
    readonly read: number
  }[]
}

/** What a person waits for an answer, ms. */
const WITHIN = 30_000
const RETRY = 300
const encoder = new TextEncoder()

export class Room {
  readonly id: RoomId
  readonly #core: Core
  readonly #peer: UserId | undefined

  constructor(core: Core, id: RoomId, peer?: UserId) {
    this.#core = core
    this.id = id
    this.#peer = peer
  }

  /** The other side of a dm, when it is known. */
  get peer(): UserId | undefined {
    return this.#peer ?? this.#core.rooms.peerOf(this.id)
  }

  /** What the list of rooms shows; undefined when the room is not in it (yet). */
  get summary(): Summary | undefined {
    return this.#core.rooms.summary(this.id)
  }

  /** Hands the room's events to the client's listeners, with `follow: 'opened'`. */
  follow(): void {
    this.#core.rooms.follow(this.id)
  }

  /**
   * Sends a message. Messages of a room keep the order of the calls; the promise resolves once the room has it, however
   * long that takes, also over cuts and restarts.
   * @throws ParleyError `bad_request`, `too_large` before it is sent; what the server refuses for good.
   */
  async send(text: string): Promise<Ack> {
    const { textLimit } = this.#core
    if (text === '' || !text.isWellFormed()) {
      throw new ParleyError('bad_request', { detail: 'A message is well-formed, non-empty text.' })
    }
    if (encoder.encode(text).length > textLimit) {
      throw new ParleyError('too_large', { detail: `A message holds ${textLimit} bytes at most.` })
    }
    return this.#give({ name: 'send', room: this.id, text, peer: this.peer ?? null })
  }

  /** @throws ParleyError for instance `forbidden`, `limit` */
  add(users: readonly UserId[]): Promise<Ack> {
    return this.#give({ name: 'add', room: this.id, users })
  }

  remove(user: UserId): Promise<Ack> {
    return this.#give({ name: 'remove', room: this.id, user })
  }

  setRole(user: UserId, role: Role): Promise<Ack> {
    return this.#give({ name: 'role', room: this.id, user, role: ROLES.indexOf(role) })
  }

  leave(): Promise<Ack> {
    return this.#give({ name: 'leave', room: this.id })
  }

  #give(command: Command): Promise<Ack> {
    const { outbox, heads, options } = this.#core
    if (options.outbox === 'never') {
      const detail = 'This client was opened to read only.'
      return Promise.reject(new ParleyError('bad_request', { detail }))
    }
    return outbox.give(command, heads.of(this.id))
  }

  async info(patience: Patience = { within: WITHIN }): Promise<RoomInfo> {
    const info = await this.#core.info(this.id, patience, this.peer)
    return {
      head: info.head,
      first: info.from,
      role: roleOf(info.role),
      title: info.title,
      openHistory: info.openHistory,
      members: info.members.map(({ user, role, read }) => ({ user, role: roleOf(role), read })),
    }
  }

  /**
   * Events before `before` (default: after the newest), the newest `limit` (default 50) of them, ascending. What is
   * hidden from this user counts too, so fewer may come; `limit` is at most 256.
   * @throws ParleyError
   */
  async history({
    before,
    limit = 50,
    ...patience
  }: { before?: number | undefined; limit?: number } & Patience = {}): Promise<RoomEvent[]> {
    if (before !== undefined && before <= 1) return []
    const to = before === undefined ? 0 : before - 1
    const { entries } = await this.#core.archive.down(this.id, to, limit, {
      within: WITHIN,
      ...patience,
    })
    return entries.filter((entry) => entry.kind !== 'hidden')
  }

  /**
   * The room's events from sequence `from` on (default: what is new), in order and without a hole, for as long as the
   * app iterates: over cuts, until it stops, the signal aborts, the client closes or the user is no longer in the room.
   * @throws ParleyError when they may not be read.
   */
  async *events({
    from,
    signal,
  }: {
    from?: number
    signal?: AbortSignal
  } = {}): AsyncGenerator<RoomEvent, void> {
    const core = this.#core
    const { archive, heads, time } = core
    const life = signal === undefined ? core.signal : AbortSignal.any([core.signal, signal])
    const unwatch = core.rooms.watch(this.id)
    try {
      if (this.summary === undefined) {
        const { head } = await core.info(this.id, { signal: life }, this.peer)
        heads.raise(this.id, head)
      }
      let next = from ?? heads.of(this.id) + 1
      while (await heads.reaches(this.id, next, life)) {
        const { entries } = await archive.up(this.id, next, 256, { signal: life })
        for (const entry of entries) {
          if (entry.kind !== 'hidden' && firstOf(entry) >= next) yield entry
          next = Math.max(next, lastOf(entry) + 1)
        }
        // The head was told before the page holds it.
        if (entries.length === 0) await sleep(time, RETRY, life)
      }
    } catch (error) {
      if (signal?.aborted || core.isClosed) return
      throw error
    } finally {
      unwatch()
    }
  }

  /** Marks all up to `seq` (default: the newest) as read, on all devices. A position that was read stays so. */
  async read(seq?: number): Promise<void> {
    const { archive, asker, cache, rooms } = this.#core
    const { summary } = this
    const upTo = seq ?? summary?.head ?? 0
    if (upTo === 0 || (summary !== undefined && upTo <= summary.read)) return
    const pointer = cache.saved.pointers.get(this.id)
    let ord = pointer?.head === upTo ? pointer.ord : undefined
    if (ord === undefined) {
      const { entries } = await archive.down(this.id, upTo, 1, { within: WITHIN })
      const entry = entries.at(-1)
      ord = entry === undefined || entry.kind === 'hidden' ? 0 : entry.ord
    }
    await asker.ask('read', { room: this.id, seq: upTo, ord }, { within: WITHIN })
    rooms.read(this.id, upTo, ord)
  }

  /** True for a conversation of two. */
  get isDm(): boolean {
    return isDm(this.id)
  }
}
