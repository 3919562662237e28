/** One device's sight of one room: what it has, and what it must fetch because numbering shows a hole. */
import type { RoomId } from '../../lib/ids.ts'
import type { Reader, RoomCheck } from '../../lib/testing/invariants.ts'

export class RoomView {
  readonly room: RoomId
  readonly check: RoomCheck
  readonly reader: Reader
  /** The lowest sequence that is missing. */
  next = 1
  /** The head as the server told it to this device: by an event, a pointer or a page. */
  head = 0
  /** A fetch is on its way. */
  fetching = false
  readonly #id: Uint8Array

  constructor(room: RoomId, check: RoomCheck, reader: Reader) {
    this.room = room
    this.check = check
    this.reader = reader
    this.#id = Buffer.from(room, 'latin1')
  }

  /** True when the bytes from `at` to `end` are this room's id. */
  is(bytes: Uint8Array, at: number, end: number): boolean {
    const id = this.#id
    if (end - at !== id.length) return false
    for (let i = 0; i < id.length; i++) if (bytes[at + i] !== id[i]) return false
    return true
  }

  /** After `seq` came or was passed over. */
  advance(seq: number): void {
    if (seq > this.head) this.head = seq
    if (seq === this.next) this.next++
    else if (seq > this.next) this.next = this.reader.missing(this.head)?.first ?? this.head + 1
  }

  get behind(): boolean {
    return this.next <= this.head
  }
}
