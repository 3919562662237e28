/**
 * Appends a partition's batches to its log, one at a time.
 *
 * Owns the one undecided batch. Its bytes are frozen until it is known to be committed; every doubt is resolved by
 * publishing the same bytes again with the same expectation (contracts L1, L5–L9). Never reads the log to decide,
 * except by sequence to learn whose record stands where its own was to be.
 */

import { setTimeout as pause } from 'node:timers/promises'
import type { AppendReply, StoredMessage } from '../bus/bus.ts'
import type { Clock } from '../clock.ts'
import { type BatchHeader, decodeHeader } from '../protocol/records.ts'

export type LogPort = {
  /** Publishes with the expected last sequence of the subject; the answer comes to `LogWriter.reply`. */
  append(bytes: Uint8Array, expected: number, number: number, attempt: number): void
  /** The record at a sequence; undefined when the answering replica has none there. */
  get(seq: number): Promise<StoredMessage | undefined>
}

export type LogEvents = {
  /** The batch stands at `seq`; `sentAt` is the monotonic time of its first attempt (contracts L10). */
  committed(seq: number, sentAt: number): void
  /** Another owner has written: stop for good (contracts L9). `view` is that owner's placement view. */
  fenced(view: number): void
  /** The log contradicts itself: stop loudly. */
  damaged(why: string): void
  /** Something an operator should see. */
  alarm(why: string): void
  /** An attempt failed for now; said for metrics and logs. */
  doubt(code: number, text: string): void
}

const NO_REPLY_MS = 1000
const BACKOFF_MIN_MS = 2
const BACKOFF_MAX_MS = 500
const DAMAGE_MS = 30_000
const READ_TRIES = 8
const READ_PAUSE_MS = 20
const WRONG_LAST = 10071

type Undecided = {
  readonly number: number
  readonly bytes: Uint8Array
  readonly firstSentAt: number
  attempt: number
  sentAt: number
  backoffMs: number
  /** Since when every answer says that the log is shorter than it was. */
  shorterSince: number | undefined
  /** The log is being read for it. */
  reading: boolean
}

export class LogWriter {
  readonly #port: LogPort
  readonly #events: LogEvents
  readonly #clock: Clock
  readonly #epoch: number
  readonly #random: () => number
  #last: number
  #batch: Undecided | undefined
  #stopped = false
  #timer: NodeJS.Timeout | undefined

  constructor(
    port: LogPort,
    events: LogEvents,
    clock: Clock,
    epoch: number,
    random: () => number = Math.random,
  ) {
    this.#port = port
    this.#events = events
    this.#clock = clock
    this.#epoch = epoch
    this.#last = epoch
    this.#random = random
  }

  /** The sequence of the newest committed record. */
  get last(): number {
    return this.#last
  }

  /** Sends batch `number` (L5). Its bytes say that they follow `last`. */
  commit(number: number, bytes: Uint8Array): void {
    if (this.#batch !== undefined) throw new Error('a batch is undecided already')
    if (this.#stopped) return
    const now = this.#clock.monotonic()
    this.#batch = {
      number,
      bytes,
      firstSentAt: now,
      attempt: 0,
      sentAt: now,
      backoffMs: BACKOFF_MIN_MS,
      shorterSince: undefined,
      reading: false,
    }
    this.#port.append(bytes, this.#last, number, 0)
  }

  /** An answer for attempt `attempt` of batch `number` of this epoch. */
  reply(number: number, _attempt: number, reply: AppendReply): void {
    const batch = this.#batch
    // L6: whatever is not about the undecided batch is ignored.
    if (batch === undefined || batch.number !== number || this.#stopped) return
    if (reply.ok) {
      this.#commitAt(batch, reply.seq)
    } else if (reply.code === WRONG_LAST && reply.last !== undefined && reply.last > this.#last) {
      void this.#whoseIs(batch, reply.last)
    } else {
      this.#events.doubt(reply.code, reply.text)
      if (reply.code === WRONG_LAST) this.#suspectDamage(batch, reply.text)
      else batch.shorterSince = undefined
      this.#retry(batch)
    }
  }

  /** To be called every 100 ms or so, and after a reconnect with `lost`: what was in flight may be gone (L8). */
  pulse(lost = false): void {
    const batch = this.#batch
    if (batch === undefined || this.#timer !== undefined) return
    if (lost || this.#clock.monotonic() - batch.sentAt >= NO_REPLY_MS) {
      this.#events.doubt(0, 'no reply')
      this.#again(batch)
    }
  }

  stop(): void {
    this.#stopped = true
    this.#batch = undefined
    clearTimeout(this.#timer)
  }

  #commitAt(batch: Undecided, seq: number): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#batch = undefined
    this.#last = seq
    this.#events.committed(seq, batch.firstSentAt)
  }

  /** L7: a record stands where ours was expected; is it ours? */
  async #whoseIs(batch: Undecided, seq: number): Promise<void> {
    if (batch.reading) return
    batch.reading = true
    const found = await this.#read(batch, seq)
    batch.reading = false
    if (this.#batch !== batch || this.#stopped) return
    if (found === undefined) {
      this.#again(batch)
      return
    }
    const header = headerOf(found)
    if (header?.epoch !== this.#epoch) {
      this.stop()
      this.#events.fenced(header?.view ?? 0)
    } else if (header.number === batch.number) {
      this.#commitAt(batch, seq)
    } else {
      this.stop()
      this.#events.damaged(
        `batch ${header.number} of our epoch at ${seq}, ${batch.number} expected`,
      )
    }
  }

  /** Undefined when it is not to be had: publishing again is always right, and tells more than a slow replica. */
  async #read(batch: Undecided, seq: number): Promise<StoredMessage | undefined> {
    for (let tries = 0; tries < READ_TRIES && this.#batch === batch; tries++) {
      const found = await this.#port.get(seq).catch(() => 'failed' as const)
      if (found === 'failed') return undefined
      if (found !== undefined) return found
      await pause(READ_PAUSE_MS)
    }
    return undefined
  }

  #suspectDamage(batch: Undecided, text: string): void {
    const now = this.#clock.monotonic()
    if (batch.shorterSince === undefined) {
      batch.shorterSince = now
      this.#events.alarm(`the log ends before ${this.#last}: ${text}`)
    } else if (now - batch.shorterSince > DAMAGE_MS) {
      this.stop()
      this.#events.damaged('the log ends before a record that it had acknowledged')
    }
  }

  #retry(batch: Undecided): void {
    if (this.#timer !== undefined || this.#stopped) return
    const wait = batch.backoffMs * (0.5 + this.#random())
    batch.backoffMs = Math.min(batch.backoffMs * 2, BACKOFF_MAX_MS)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#batch === batch) this.#again(batch)
    }, wait)
  }

  #again(batch: Undecided): void {
    batch.attempt++
    batch.sentAt = this.#clock.monotonic()
    this.#port.append(batch.bytes, this.#last, batch.number, batch.attempt)
  }
}

/** Undefined for what only a newer version can have written: certainly not we. */
const headerOf = (message: StoredMessage): BatchHeader | undefined => {
  try {
    return decodeHeader(message.data)
  } catch {
    return undefined
  }
}
