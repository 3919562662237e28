/** Lines that `parley --json` printed, told to the invariants. */
import {
  Invariants,
  type Outbox,
  type Reader,
  type RoomCheck,
} from '../../lib/testing/invariants.ts'

/** One printed line; `text` only of messages. */
type Printed = {
  readonly room: string
  readonly seq: number
  readonly id: string
  readonly time: number
  readonly text?: string
}

/** One room that one device sends a text into, each line different, and that others read. */
export class Judge {
  readonly invariants: Invariants
  readonly #room: RoomCheck
  readonly #outbox: Outbox
  /** Line → its number, from 1. */
  readonly #numbers = new Map<string, number>()
  /** Events that each screen was shown. */
  readonly #shown = new Map<string, number>()
  acked = 0

  constructor(
    room: string,
    sender: string,
    lines: readonly string[],
    invariants: Invariants = new Invariants(),
  ) {
    this.invariants = invariants
    this.#room = invariants.room(room)
    this.#outbox = this.#room.outbox(sender)
    for (const [i, line] of lines.entries()) {
      this.#numbers.set(line, i + 1)
      this.#outbox.sent(i + 1)
    }
    if (this.#numbers.size !== lines.length) throw new Error('the lines of the text differ')
  }

  /** A line of `parley send --json`. */
  ack(line: string): void {
    const { seq, id, text = '' } = JSON.parse(line) as Printed
    this.acked++
    this.#outbox.acked(this.#numbers.get(text) ?? 0, seq, BigInt(id))
  }

  /**
   * A device, for the lines of its `tail`, `sync` or `history` with --json and --events: what it is shown, from
   * sequence `from` on.
   */
  screen(name: string, from = 1): (line: string) => void {
    const reader = this.#room.reader(name, { strict: true, from })
    this.#shown.set(name, 0)
    return (line) => {
      this.#shown.set(name, (this.#shown.get(name) ?? 0) + 1)
      this.#read(reader, line)
    }
  }

  /** Lines without an ack, and events that a screen lacks of the `due` that each is to show. */
  missing(due: number): number {
    const lacks = [...this.#shown.values()].map((shown) => Math.max(0, due - shown))
    return lacks.reduce((sum, one) => sum + one, Math.max(0, this.#numbers.size - this.acked))
  }

  #read(reader: Reader, line: string): void {
    const { seq, id, time, text } = JSON.parse(line) as Printed
    reader.time(seq, time)
    if (text !== undefined) {
      // A text that nobody sent has number 0, which is a phantom.
      reader.saw(seq, BigInt(id), this.#outbox, this.#numbers.get(text) ?? 0)
      return
    }
    this.#room.foreign(seq)
    reader.saw(seq, BigInt(id))
  }
}
