/**
 * Which streams are nearly full (contracts L0): from 80 % on, the partitions of that LOG refuse clients' durable
 * commands, and pointers to that INBOX wait here. A stream says nothing of the others.
 */
import type { Log } from '../log.ts'
import type { PointerQueue } from './pointer-queue.ts'
import { FULL, type Trimmer } from './trim.ts'

type Given = {
  readonly trimmer: Pick<Trimmer, 'logFill' | 'inboxFill'>
  readonly pointers: Pick<PointerQueue, 'hold'>
  readonly log: Log
  /** K: streams of each family. */
  readonly streams: number
}

export class Fullness {
  readonly #given: Given
  /** By stream; asked once for each command, so kept. */
  readonly #logs: boolean[]
  readonly #inboxes: boolean[]

  constructor(given: Given) {
    this.#given = given
    this.#logs = new Array<boolean>(given.streams).fill(false)
    this.#inboxes = new Array<boolean>(given.streams).fill(false)
  }

  /** True when the log of partition `p` takes nothing from clients. */
  log(p: number): boolean {
    return this.#logs[p % this.#given.streams]!
  }

  /** Every 100 ms or so. */
  look(): void {
    const { trimmer, pointers, log, streams } = this.#given
    // The lowest partition of stream k is k.
    for (let k = 0; k < streams; k++) {
      const fill = { k, log: trimmer.logFill(k), inbox: trimmer.inboxFill(k) }
      const full = { log: fill.log >= FULL, inbox: fill.inbox >= FULL }
      if (full.log !== this.#logs[k]) {
        this.#logs[k] = full.log
        log.warn({ ...fill, full: full.log }, 'log.full')
      }
      if (full.inbox !== this.#inboxes[k]) {
        this.#inboxes[k] = full.inbox
        pointers.hold((p) => p % streams === k, full.inbox)
        log.warn({ ...fill, full: full.inbox }, 'inbox.full')
      }
    }
  }
}
