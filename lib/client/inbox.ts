/**
 * The rooms of this user as their inbox tells them (contracts I): pointers folded by version, the cursor of this device.
 *
 * S1 The cursor moves only when every page up to it was taken in: a cut in between starts again from the old one.
 * S2 A pushed pointer never moves the cursor: the one before it may have been lost. Pongs tell, and `sync` heals.
 */
import type { RoomId } from '../ids.ts'
import type { Cursor, Frame, Pointer } from '../protocol/frames.ts'
import type { Asker } from './ask.ts'
import type { Cache } from './cache.ts'
import type { Change } from './saved.ts'

export type InboxPorts = {
  readonly cache: Cache
  readonly asker: Asker
  /** A pointer is newer than what was known. `first`: of the list of a device that knew nothing. */
  changed(pointer: Pointer, first: boolean): void
  /** The user has nothing to do with this room any more. */
  forgotten(room: RoomId): void
  /** Every change up to now is taken in. */
  synced(): void
  /** Syncing failed for good. */
  failed(error: unknown): void
}

type Page = Pick<Frame<'changes'>, 'cursor' | 'full' | 'more' | 'changes'>

export class Inbox {
  readonly #ports: InboxPorts
  #abort = new AbortController()
  #syncing = false
  #again = false

  constructor(ports: InboxPorts) {
    this.#ports = ports
  }

  /** For `hello`. */
  get cursor(): Cursor | null {
    return this.#ports.cache.saved.cursor
  }

  /** A session began: `page` is what changed since the cursor of its `hello`. */
  opened(page: Page): void {
    this.cut()
    void this.#sync(page)
  }

  cut(): void {
    this.#abort.abort()
    this.#abort = new AbortController()
    this.#syncing = false
  }

  /** Pointers that were pushed. */
  pushed(pointers: readonly Pointer[]): void {
    void this.#take(pointers, false)
  }

  /** The server says how far the inbox is. */
  heard(cursor: Cursor | null): void {
    const mine = this.cursor
    if (cursor === null || this.#syncing) return
    if (mine?.stream === cursor.stream && mine.position >= cursor.position) return
    this.sync()
  }

  /** Asks for what changed since the cursor, up to now. */
  sync(): void {
    if (this.#syncing) this.#again = true
    else void this.#sync(undefined)
  }

  async #sync(first: Page | undefined): Promise<void> {
    const { cache, asker, forgotten, synced, failed } = this.#ports
    const { signal } = this.#abort
    this.#syncing = true
    this.#again = false
    try {
      const known = new Set(cache.saved.pointers.keys())
      const knewNothing = this.cursor === null && known.size === 0
      let page = first ?? (await asker.ask('sync', { cursor: this.cursor }, { signal }))
      for (;;) {
        signal.throwIfAborted()
        for (const { room } of page.changes) known.delete(room)
        await this.#take(page.changes, knewNothing)
        if (!page.more) break
        page = await asker.ask('sync', { cursor: page.cursor }, { signal })
      }
      signal.throwIfAborted()
      const gone: Change[] = page.full
        ? [...known].map((room): Change => ({ op: 'forget', room }))
        : []
      await cache.write([...gone, { op: 'cursor', cursor: page.cursor }])
      if (page.full) for (const room of known) forgotten(room)
      signal.throwIfAborted()
      this.#syncing = false
      if (this.#again) void this.#sync(undefined)
      else synced()
    } catch (error) {
      if (signal.aborted) return
      this.#syncing = false
      failed(error)
    }
  }

  /** Takes in those that are newer than what is known (contracts I1). */
  async #take(pointers: readonly Pointer[], first: boolean): Promise<void> {
    const { cache, changed, failed } = this.#ports
    const newer = pointers.filter(
      ({ room, version }) => version > (cache.saved.pointers.get(room)?.version ?? -1),
    )
    if (newer.length === 0) return
    const written = cache.write(newer.map((pointer): Change => ({ op: 'pointer', pointer })))
    for (const pointer of newer) changed(pointer, first)
    await written.catch(failed)
  }
}
