/**
 * Puts the entries of one room in order. They come twice, late, out of order or not at all; they leave once, in order,
 * without a hole. Pure: says what is missing, gaps.ts fetches it.
 *
 *   released … seq | hole … | waiting, some | … head
 */
import { type Entry, firstOf, lastOf, type Message, type RoomEvent } from './events.ts'
import type { Position } from './saved.ts'

/** A message of our own, known from its ack, which does not tell `ord`. */
export type OwnMessage = Omit<Message, 'ord'>

type Waiting = { readonly first: number; readonly last: number; readonly entry: Entry | OwnMessage }

/** Entries ahead of a hole that are kept; the rest is fetched once the hole is closed. */
const MOST_WAITING = 512

export class Timeline {
  #position: Position
  #head: number
  #waiting: Waiting[] = []

  /** Begins after `position`. */
  constructor(position: Position) {
    this.#position = position
    this.#head = position.seq
  }

  /** All up to here was released. */
  get position(): Position {
    return this.#position
  }

  /** The newest sequence known of. */
  get head(): number {
    return this.#head
  }

  get complete(): boolean {
    return this.#position.seq >= this.#head
  }

  /** There are events up to `head`. */
  raise(head: number): void {
    if (head > this.#head) this.#head = head
  }

  /** Takes an entry; returns what can be released now. */
  offer(entry: Entry): Entry[] {
    return this.#insert({ first: firstOf(entry), last: lastOf(entry), entry })
  }

  offerOwn(message: OwnMessage): Entry[] {
    return this.#insert({ first: message.seq, last: message.seq, entry: message })
  }

  #insert(item: Waiting): Entry[] {
    this.raise(item.last)
    if (item.last <= this.#position.seq) return []
    const at = this.#waiting.findIndex((other) => other.first >= item.first)
    const same = this.#waiting[at]
    if (same !== undefined && same.first === item.first && same.last >= item.last) {
      // The same again; but the event itself knows more than its ack.
      if (!('ord' in same.entry) && same.entry.kind === 'message' && 'ord' in item.entry) {
        this.#waiting[at] = item
      }
    } else if (at >= 0) this.#waiting.splice(at, 0, item)
    else this.#waiting.push(item)
    if (this.#waiting.length > MOST_WAITING) this.#waiting.pop()
    return this.#release()
  }

  #release(): Entry[] {
    const released: Entry[] = []
    for (let item = this.#waiting[0]; item !== undefined; item = this.#waiting[0]) {
      if (item.last > this.#position.seq) {
        if (item.first > this.#position.seq + 1) break
        const entry = this.#complete(item.entry)
        if (entry === undefined) break
        released.push(entry)
        const ord = entry.kind === 'hidden' ? undefined : entry.ord
        this.#position = { seq: item.last, ord }
      }
      this.#waiting.shift()
    }
    return released
  }

  /** Our own message counts one more than what is before it; undefined when that is not known. */
  #complete(entry: Entry | OwnMessage): Entry | undefined {
    if (entry.kind !== 'message' || 'ord' in entry) return entry as RoomEvent
    const { ord } = this.#position
    return ord === undefined ? undefined : { ...entry, ord: ord + 1 }
  }

  /** The first run that is missing, both ends included. */
  hole(): { first: number; last: number } | undefined {
    if (this.complete) return undefined
    const first = this.#position.seq + 1
    const next = this.#waiting[0]
    if (next === undefined) return { first, last: this.#head }
    // The next one itself can be what is missing: our own, of which `ord` is not known.
    return { first, last: Math.max(first, next.first - 1) }
  }
}
