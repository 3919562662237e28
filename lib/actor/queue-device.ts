/**
 * The durable queue of one device, as its user's actor keeps it (contracts I5): numbers pointers, appends them in
 * order, counts what the device has not acknowledged, and starts over with a `reset` at the cap.
 *
 * Owns: the device's row in user state.
 *
 * I1. A number is a function of the inbox: every owner that folds it again from the row gives each pointer the number
 *     that it had before, so that what is written twice is known by its number.
 * I2. One message is undecided at a time, so the stream has a device's entries in the order of their numbers.
 * I3. The row never says more than what is in the stream; `safe` never exceeds what the row says (or is about to).
 * I4. A reset has its number in the stored row before anything is purged: a number never has two meanings.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { AppendReply, ConsumerState } from '../bus/bus.ts'
import { ParleyError } from '../errors.ts'
import type { DeviceId, UserId } from '../ids.ts'
import { type QueueEntry, writeQueueEntry, writeQueueHead } from '../protocol/queue-entries.ts'
import { Writer } from '../protocol/writer.ts'
import type { UserRow } from '../store/state/state.ts'
import { type DeviceRow, encodeRow, rowKey, TAKEOVER } from './queue-row.ts'

/** What a device's consumer still has to bring. */
export type QueueBacklog = Pick<ConsumerState, 'pending' | 'unacked' | 'floor'>

export type QueueLimits = {
  /** Entries that a queue may hold, their bytes, and the age of the oldest, ms. */
  readonly entries: number
  readonly bytes: number
  readonly ageMs: number
}

export type QueuePort = {
  readonly limits: QueueLimits
  /** ms since 1970 */
  now(): number
  /** Appends to the device's subject; undefined when no answer came. */
  append(user: UserId, device: DeviceId, bytes: Uint8Array): Promise<AppendReply | undefined>
  /** Makes the device's consumer. @throws ParleyError limit */
  addConsumer(user: UserId, device: DeviceId): Promise<void>
  consumer(user: UserId, device: DeviceId): Promise<QueueBacklog | undefined>
  deleteConsumer(user: UserId, device: DeviceId): Promise<void>
  /** Removes what the device's subject holds below a sequence, or all. */
  purge(user: UserId, device: DeviceId, below: number | undefined): Promise<void>
  /** Resolves when the rows are stored. */
  store(rows: readonly UserRow[]): Promise<void>
  failed(user: UserId, device: DeviceId, cause: unknown): void
}

type Waiting = { readonly entry: QueueEntry; readonly position: number }
/** A message that the device has not acknowledged, as far as is known. */
type Sent = {
  readonly seq: number
  readonly entries: number
  readonly bytes: number
  readonly at: number
}
/** Sequence of what a former owner has written, of which only the count is known. */
const FORMER = Number.POSITIVE_INFINITY

/** Below the stream's largest message. */
const MESSAGE_BYTES = 48 * 1024
/** A queue that is asked for again waits so long for its former self to be deleted. */
const CLOSING_MS = 2000
const BACKOFF_MIN_MS = 20
const BACKOFF_MAX_MS = 1000
/** JetStream's err_code of a full stream or subject. */
const FULL = 10077

export class QueueDevice {
  readonly user: UserId
  readonly device: DeviceId
  readonly #port: QueuePort
  readonly #epoch: number
  readonly #signal: AbortSignal
  /** As it is to be stored. */
  #row: DeviceRow
  /** Above whatever a former owner may still write. */
  readonly #firstRev: number
  /** The row as it stands in the store; of a device that had no queue yet, nothing needs to. */
  #stored: DeviceRow
  /** Last number given, and inbox position of its pointer. */
  #n: number
  #position: number
  #waiting: Waiting[] = []
  #sent: Sent[] = []
  #sentEntries = 0
  #sentBytes = 0
  #working: Promise<void> | undefined

  constructor(
    port: QueuePort,
    user: UserId,
    device: DeviceId,
    epoch: number,
    row: DeviceRow | undefined,
    signal: AbortSignal,
  ) {
    this.#port = port
    this.user = user
    this.device = device
    this.#epoch = epoch
    this.#signal = signal
    this.#row = row ?? { mode: 'off', rev: 0, n: 0, position: 0 }
    this.#firstRev = Math.max(epoch, row === undefined ? 0 : row.rev + TAKEOVER)
    this.#stored = this.#row
    this.#n = this.#row.n
    this.#position = this.#row.position
    if (this.#row.mode === 'on') void this.#countFormer()
    this.#work()
  }

  get on(): boolean {
    return this.#row.mode === 'on' || this.#row.mode === 'reset'
  }

  get off(): boolean {
    return this.#row.mode === 'off'
  }

  /** Entries that are not in the stream yet. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Inbox position up to which everything is in the stream. */
  get safe(): number {
    if (this.#row.mode === 'reset') return this.#row.position
    const first = this.#waiting[0]
    return first === undefined ? Number.POSITIVE_INFINITY : first.position - 1
  }

  get dirty(): boolean {
    return this.#row !== this.#stored
  }

  /** The row to be stored; give it back to `stored` when it is. */
  take(): { row: UserRow; stored: () => void } {
    const row = this.#row
    return { row: this.#asRow(row), stored: () => this.#isStored(row) }
  }

  #asRow(row: DeviceRow): UserRow {
    return { user: this.user, key: rowKey(this.device), position: row.rev, value: encodeRow(row) }
  }

  #isStored(row: DeviceRow): void {
    if (row.rev > this.#stored.rev) this.#stored = row
  }

  #change(change: Partial<DeviceRow>): void {
    this.#row = { ...this.#row, ...change, rev: Math.max(this.#row.rev + 1, this.#firstRev) }
  }

  async #storeNow(): Promise<void> {
    const { row, stored } = this.take()
    await this.#port.store([row])
    stored()
  }

  /** Starts queueing what is folded from then on; `folded` says where that is. @throws ParleyError limit, unavailable */
  async start(folded: () => number): Promise<void> {
    // The consumer of a queue that is still being given up would be deleted.
    if (this.#row.mode === 'closing') await this.#closed()
    await this.#port.addConsumer(this.user, this.device)
    this.#signal.throwIfAborted()
    if (!this.on) {
      this.#position = folded()
      this.#change({ mode: 'on', n: this.#n, position: this.#position })
    }
    await this.#storeNow()
  }

  async #closed(): Promise<void> {
    const soon = new AbortController()
    const late = pause(CLOSING_MS, undefined, { signal: soon.signal }).catch(() => undefined)
    await Promise.race([this.#working, late])
    soon.abort()
    if (this.#row.mode === 'closing') {
      throw new ParleyError('unavailable', { detail: 'the former queue is still being deleted' })
    }
  }

  /** The device's queue is given up, or the device is removed. Resolves when that is stored; the rest follows. */
  async end(): Promise<void> {
    if (this.off) return
    this.endSoon()
    await this.#storeNow()
  }

  endSoon(): void {
    if (!this.on) return
    this.#waiting = []
    this.#change({ mode: 'closing', n: this.#n, position: this.#position })
    this.#work()
  }

  /** Pointers of the message at `position`, in their order; what was queued before is passed over. */
  push(position: number, pointers: readonly { after: number; pointer: Uint8Array }[]): void {
    if (!this.on || position <= this.#position) return
    this.#position = position
    pointers.forEach(({ after, pointer }, i) => {
      // Only with the last one is the device told everything of this position.
      const stamp = i === pointers.length - 1 ? position : position - 1
      const entry: QueueEntry = { kind: 'pointer', n: ++this.#n, stamp, after, pointer }
      this.#waiting.push({ entry, position })
    })
    this.#work()
  }

  /** Every few seconds: entries may have grown too old. */
  pulse(): void {
    if (this.#row.mode === 'on' && this.#tooMuch()) this.#work()
  }

  #tooMuch(): boolean {
    const { limits, now } = this.#port
    const oldest = this.#sent[0]
    return (
      this.#sentEntries > limits.entries ||
      this.#sentBytes > limits.bytes ||
      (oldest !== undefined && now() - oldest.at > limits.ageMs)
    )
  }

  #work(): void {
    if (this.#working !== undefined || !this.#due()) return
    this.#working = this.#run().finally(() => {
      this.#working = undefined
      if (!this.#signal.aborted) this.#work()
    })
  }

  #due(): boolean {
    const { mode } = this.#row
    if (mode === 'closing' || mode === 'reset') return true
    return mode === 'on' && (this.#waiting.length > 0 || this.#tooMuch())
  }

  async #run(): Promise<void> {
    for (let backoff = BACKOFF_MIN_MS; !this.#signal.aborted && this.#due(); ) {
      let done = false
      try {
        done = await this.#step()
      } catch (cause) {
        if (!this.#signal.aborted) this.#port.failed(this.user, this.device, cause)
      }
      if (done) backoff = BACKOFF_MIN_MS
      else {
        await pause(backoff, undefined, { signal: this.#signal }).catch(() => undefined)
        backoff = Math.min(2 * backoff, BACKOFF_MAX_MS)
      }
    }
  }

  /** One step of what is due; false when it is to be tried again later. */
  async #step(): Promise<boolean> {
    switch (this.#row.mode) {
      case 'closing':
        return this.#close()
      case 'reset':
        return this.#reset()
      case 'on':
        if (this.#tooMuch() && (await this.#overfull())) {
          // I4: what is undecided or waits is told of by the reset.
          this.#waiting = []
          this.#change({ mode: 'reset', n: ++this.#n, position: this.#position })
          return true
        }
        return this.#waiting.length === 0 || this.#send()
      case 'off':
        return true
    }
  }

  async #close(): Promise<boolean> {
    const { user, device } = this
    await this.#storeNow()
    await this.#port.deleteConsumer(user, device)
    await this.#port.purge(user, device, undefined)
    this.#forget()
    this.#change({ mode: 'off' })
    return true
  }

  async #reset(): Promise<boolean> {
    const { user, device } = this
    const { n, position } = this.#row
    if (this.dirty) await this.#storeNow()
    const last = this.#sent.at(-1)?.seq
    const below = last === undefined || last === FORMER ? undefined : last + 1
    await this.#port.purge(user, device, below)
    this.#forget()
    const bytes = writeQueueEntry(this.#head(), { kind: 'reset', n, stamp: position }).take()
    const reply = await this.#port.append(user, device, bytes)
    if (!reply?.ok) return false
    this.#counted(reply.seq, 1, bytes.length)
    if (this.#row.mode === 'reset') this.#change({ mode: 'on' })
    return true
  }

  #head(): Writer {
    return writeQueueHead(new Writer(1024), this.#epoch)
  }

  /** Appends what waits, as much as one message takes. */
  async #send(): Promise<boolean> {
    const writer = this.#head()
    let count = 0
    for (const { entry } of this.#waiting) {
      if (count > 0 && writer.length > MESSAGE_BYTES) break
      writeQueueEntry(writer, entry)
      count++
    }
    const first = this.#waiting[0]
    const bytes = writer.take()
    const reply = await this.#port.append(this.user, this.device, bytes)
    // Given up meanwhile.
    if (this.#waiting[0] !== first) return true
    if (reply?.ok) {
      this.#appended(count)
      this.#counted(reply.seq, count, bytes.length)
      return true
    }
    if (reply?.code === FULL && this.#sentEntries > 0) {
      this.#waiting = []
      this.#change({ mode: 'reset', n: ++this.#n, position: this.#position })
      return true
    }
    return false
  }

  #appended(count: number): void {
    const done = this.#waiting.splice(0, count)
    const { entry, position } = done.at(-1)!
    // A position half told is told again from its start, with the same numbers.
    if (this.#waiting[0]?.position !== position) this.#change({ n: entry.n, position })
    else {
      const whole = done.findLast((one) => one.position < position)
      if (whole !== undefined) this.#change({ n: whole.entry.n, position: whole.position })
    }
  }

  #counted(seq: number, entries: number, bytes: number): void {
    this.#sent.push({ seq, entries, bytes, at: this.#port.now() })
    this.#sentEntries += entries
    this.#sentBytes += bytes
  }

  #forget(): void {
    this.#sent = []
    this.#sentEntries = 0
    this.#sentBytes = 0
  }

  /** Asks what the device has acknowledged, then tells whether the queue is still past a limit. */
  async #overfull(): Promise<boolean> {
    const state = await this.#port.consumer(this.user, this.device)
    if (state === undefined) {
      await this.#port.addConsumer(this.user, this.device)
      return this.#tooMuch()
    }
    const ours = this.#sent.filter(({ seq }) => seq !== FORMER && seq > state.floor)
    const former = this.#sent.find(({ seq }) => seq === FORMER)
    // At least one entry a message.
    const entries = Math.min(former?.entries ?? 0, state.pending + state.unacked - ours.length)
    this.#sent = former !== undefined && entries > 0 ? [{ ...former, entries }, ...ours] : ours
    this.#sentEntries = this.#sent.reduce((sum, one) => sum + one.entries, 0)
    this.#sentBytes = this.#sent.reduce((sum, one) => sum + one.bytes, 0)
    return this.#tooMuch()
  }

  /** What a former owner has written and the device has not acknowledged. */
  async #countFormer(): Promise<void> {
    try {
      const state = await this.#port.consumer(this.user, this.device)
      if (state === undefined || this.#sent.length > 0) return
      const entries = state.pending + state.unacked
      if (entries === 0) return
      this.#sent.push({ seq: FORMER, entries, bytes: 0, at: this.#port.now() })
      this.#sentEntries += entries
    } catch (cause) {
      this.#port.failed(this.user, this.device, cause)
    }
  }
}
