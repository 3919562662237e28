/**
 * A cache in a folder, one per profile:
 *
 *   account.json       who this is, and the tokens; replaced whole
 *   state.jsonl        changes (saved.ts), one line per `write`; shortened when it has grown
 *   rooms/<id>.jsonl   events of a room; the oldest go when there are many
 *
 * F1 A line is written whole or not at all, so what one `write` holds belongs together.
 * F2 A damaged file loses nothing that was sent: the rooms are asked for anew, and numbering starts in a new lineage.
 */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { ParleyError } from '../errors.ts'
import { parseDeviceId, parseUserId, type RoomId } from '../ids.ts'
import type { Account, Cache } from './cache.ts'
import { type Entry, isEntry } from './events.ts'
import { Journal, replaceFile } from './journal.node.ts'
import { applyChange, type Change, changesOf, emptySaved, type Saved } from './saved.ts'
import { readChange } from './saved-rows.ts'
import { Shelf } from './shelf.ts'

const HEADER = JSON.stringify({ parley: 'profile', version: 1 })
/** Rooms whose events are held in memory, and how many of each. */
const ROOMS = 64
const ENTRIES = 20_000
/** Lines that a file may have beyond what is needed. */
const SPARE = 5_000

type RoomFile = { readonly shelf: Shelf; readonly journal: Journal }

export class FileCache implements Cache {
  readonly #folder: string
  readonly #state: Journal
  readonly #rooms = new LRUCache<RoomId, Promise<RoomFile>>({ max: ROOMS })
  #saved: Saved = emptySaved()
  #lasting = false
  #shortening: Promise<void> | undefined

  constructor(folder: string) {
    this.#folder = folder
    this.#state = new Journal(join(folder, 'state.jsonl'))
  }

  get saved(): Saved {
    return this.#saved
  }

  async open(lasting: boolean): Promise<void> {
    const lines = await this.#state.read(lasting)
    const saved = emptySaved()
    let damaged = false
    for (const [index, line] of lines.entries()) {
      if (index === 0) checkHeader(line)
      else if (line !== '' && !applyLine(saved, line)) damaged = true
    }
    if (damaged) distrust(saved)
    this.#saved = saved
    this.#lasting = lasting
    this.#rooms.clear()
    if (lasting && (damaged || lines.length === 0 || this.#isLong())) await this.#shorten()
  }

  async write(changes: readonly Change[]): Promise<void> {
    if (changes.length === 0) return
    for (const change of changes) applyChange(this.#saved, change)
    if (!this.#lasting) return
    const written = this.#state.append([JSON.stringify(changes)])
    for (const change of changes) {
      if (change.op === 'forget') await this.#forget(change.room)
    }
    await written
    if (this.#isLong()) {
      this.#shortening ??= this.#shorten().finally(() => {
        this.#shortening = undefined
      })
    }
  }

  #isLong(): boolean {
    const { pointers, positions, tallies, items, acked } = this.#saved
    const needed = pointers.size + positions.size + tallies.size + items.size + acked.size
    return this.#state.lines > 2 * needed + SPARE
  }

  async #shorten(): Promise<void> {
    await this.#state.rewrite([
      HEADER,
      ...changesOf(this.#saved).map((change) => JSON.stringify([change])),
    ])
  }

  async account(): Promise<Account | undefined> {
    let text: string
    try {
      text = await readFile(join(this.#folder, 'account.json'), 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    return readAccount(text)
  }

  async saveAccount(account: Account | undefined): Promise<void> {
    const path = join(this.#folder, 'account.json')
    if (account === undefined) await rm(path, { force: true })
    else await replaceFile(path, `${JSON.stringify(account, null, 2)}\n`)
  }

  async events(room: RoomId, first: number, last: number): Promise<Entry[]> {
    return (await this.#room(room)).shelf.range(first, last)
  }

  async keep(room: RoomId, entries: readonly Entry[]): Promise<void> {
    const { shelf, journal } = await this.#room(room)
    const fresh = shelf.add(entries)
    if (!this.#lasting || fresh.length === 0) return
    await journal.append(fresh.map((entry) => JSON.stringify(entry)))
    if (journal.lines > shelf.size + ENTRIES) {
      await journal.rewrite(shelf.all().map((entry) => JSON.stringify(entry)))
    }
  }

  #room(room: RoomId): Promise<RoomFile> {
    let file = this.#rooms.get(room)
    if (file === undefined) {
      file = this.#openRoom(room)
      this.#rooms.set(room, file)
    }
    return file
  }

  async #openRoom(room: RoomId): Promise<RoomFile> {
    const journal = new Journal(this.#pathOf(room))
    const shelf = new Shelf(ENTRIES)
    for (const line of await journal.read(this.#lasting)) {
      const entry = parse(line)
      if (isEntry(entry, room)) shelf.add([entry])
    }
    return { shelf, journal }
  }

  #pathOf(room: RoomId): string {
    return join(this.#folder, 'rooms', `${room}.jsonl`)
  }

  async #forget(room: RoomId): Promise<void> {
    await this.#rooms.get(room)?.then(({ journal }) => journal.flushed())
    this.#rooms.delete(room)
    await rm(this.#pathOf(room), { force: true })
  }

  async reset(): Promise<void> {
    this.#saved = emptySaved()
    this.#rooms.clear()
    await this.#shorten()
    await rm(join(this.#folder, 'rooms'), { recursive: true, force: true })
  }

  async close(): Promise<void> {
    await this.#shortening
    await this.#state.flushed()
    for (const file of this.#rooms.values()) await (await file).journal.flushed()
  }
}

const parse = (line: string): unknown => {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

const checkHeader = (line: string): void => {
  const header = parse(line) as { parley?: unknown; version?: unknown } | undefined
  if (header?.parley === 'profile' && header.version === 1) return
  throw new ParleyError('version', {
    detail: 'This profile was written by another version of Parley: log in with a new one.',
  })
}

/** All the changes of a line, or none. */
const applyLine = (saved: Saved, line: string): boolean => {
  const values = parse(line)
  if (!Array.isArray(values)) return false
  const changes = values.map(readChange)
  if (changes.includes(undefined)) return false
  for (const change of changes) if (change !== undefined) applyChange(saved, change)
  return true
}

/** Something is missing: what relies on nothing missing begins anew. */
const distrust = (saved: Saved): void => {
  saved.cursor = null
  saved.place = undefined
  for (const [room, tally] of saved.tallies) saved.tallies.set(room, { ...tally, spent: true })
}

const readAccount = (text: string): Account => {
  const value = parse(text) as Record<string, unknown> | null | undefined
  const user = parseUserId(value?.user)
  const device = parseDeviceId(value?.device)
  const { server, handle, access, refresh, accessUntil } = value ?? {}
  const texts = [server, handle, access, refresh].every((one) => typeof one === 'string')
  if (user === undefined || device === undefined || !texts || typeof accessUntil !== 'number') {
    throw new ParleyError('unauthorized', { detail: 'The stored login is damaged: log in again.' })
  }
  return { ...(value as Account), user, device }
}
