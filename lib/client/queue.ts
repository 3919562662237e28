/**
 * The durable queue of a device that lets the server keep its place (contracts I5). Entries come at least once, numbered
 * per device; numbers that are known are dropped, a gap means that entries were purged, and `sync` tells what.
 *
 * Q1 An entry is acknowledged once it is stored; `sync` closes a gap before anything after it is.
 */
import { ParleyError } from '../errors.ts'
import { readFrames } from '../protocol/codec.ts'
import type { Frame } from '../protocol/frames.ts'
import type { Asker } from './ask.ts'
import type { Cache } from './cache.ts'
import { type Entry, entryOf } from './events.ts'
import type { Change } from './saved.ts'

export type QueuePorts = {
  readonly cache: Cache
  readonly asker: Asker
  signal(): AbortSignal
  pushed(pointer: NonNullable<Frame<'queued'>['pointer']>): void
  live(entry: Entry): void
  sync(): void
  /** The server keeps no queue for this device. */
  refused(error: ParleyError): void
}

export class Queue {
  readonly #ports: QueuePorts
  /** The server keeps this device's place. */
  active = false
  #acking = false
  #session = 0
  /** The highest numbers that came and that were acknowledged in this session: its gateway knows of no others. */
  #came = 0
  #acked = 0
  /** Entries were purged, and `sync` has not told yet which. */
  #gap = false

  constructor(ports: QueuePorts) {
    this.#ports = ports
  }

  /** A session began. */
  async opened(): Promise<void> {
    const { asker, refused } = this.#ports
    const signal = this.#ports.signal()
    this.#session++
    this.#came = 0
    this.#acked = 0
    try {
      await asker.ask('queue', { on: true }, { signal })
      this.active = true
    } catch (error) {
      this.active = false
      if (signal.aborted) return
      refused(error instanceof ParleyError ? error : new ParleyError('internal', { cause: error }))
    }
  }

  /** The inbox took in all there was. */
  synced(): void {
    this.#gap = false
  }

  async queued(frame: Frame<'queued'>): Promise<void> {
    const { cache, pushed, live, sync } = this.#ports
    const { place, cursor } = cache.saved
    this.#came = Math.max(this.#came, frame.n)
    if (place !== undefined && frame.n <= place.n) {
      this.#ack()
      return
    }
    const dense = !frame.reset && (place === undefined || frame.n === place.n + 1)
    if (!dense) {
      this.#gap = true
      sync()
    }
    const stamp = Math.max(frame.stamp, place?.stamp ?? 0)
    if (frame.pointer !== null) pushed(frame.pointer)
    for (const bytes of frame.events) {
      for (const event of readFrames(bytes)) {
        const entry = entryOf(event)
        if (entry !== undefined) live(entry)
      }
    }
    const changes: Change[] = [{ op: 'place', place: { n: frame.n, stamp } }]
    // With an entry the device was told everything up to its stamp. In a gap only `sync` knows.
    if (!this.#gap && place !== undefined && cursor !== null && stamp > cursor.position) {
      changes.push({ op: 'cursor', cursor: { ...cursor, position: stamp } })
    }
    await cache.write(changes)
    this.#ack()
  }

  /** One acknowledgement at a time, of all that came and is stored by then. */
  #ack(): void {
    if (this.#acking) return
    this.#acking = true
    void this.#ackAll()
  }

  async #ackAll(): Promise<void> {
    const { asker, cache } = this.#ports
    const signal = this.#ports.signal()
    const due = (): number => Math.min(cache.saved.place?.n ?? 0, this.#came)
    try {
      for (let n = due(); n > this.#acked; n = due()) {
        const session = this.#session
        await asker.ask('queueAck', { n }, { signal })
        if (session === this.#session) this.#acked = n
      }
    } catch {
      // Not acknowledged: the entries come again, in this session or the next.
    } finally {
      this.#acking = false
    }
  }
}
