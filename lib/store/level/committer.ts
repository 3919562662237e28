/**
 * All writes of the embedded database go through one committer: one synced batch in flight, and whatever arrives
 * meanwhile is the next one. So the fsyncs of all writers are grouped, and «the higher position wins» needs no
 * lock: nobody else writes between its reads and its batch.
 *
 * Owns: the order of writes. Never does: reads for callers, splitting of a request (each is atomic).
 * I1. A request resolves only after the batch that holds all of it was synced.
 * I2. The queue holds at most QUEUE_BYTES; past that requests are refused as `overloaded`.
 */
import { ParleyError } from '../../errors.ts'
import { STAMP, stampOf } from './keys.ts'

/** `raise`: the value starts with its position (keys.ts) and is kept out unless that is above the stored one. */
export type Write = {
  readonly type: 'put' | 'raise'
  readonly key: Buffer
  readonly value: Uint8Array
}

/** What the committer needs of the database underneath. */
export interface Rows {
  getMany(keys: Buffer[]): Promise<(Uint8Array | undefined)[]>
  /** Resolves when all of it would survive a power loss. */
  batch(puts: { type: 'put'; key: Buffer; value: Uint8Array }[]): Promise<void>
}

type Request = {
  readonly writes: readonly Write[]
  readonly bytes: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export const BATCH_BYTES = 4 << 20
export const QUEUE_BYTES = 64 << 20

export class Committer {
  readonly #rows: Rows
  #queue: Request[] = []
  #queuedBytes = 0
  #running: Promise<void> | undefined

  constructor(rows: Rows) {
    this.#rows = rows
  }

  /** Errors: `overloaded` when the queue is full, `unavailable` when the disk refused; then nothing was stored. */
  commit(writes: readonly Write[]): Promise<void> {
    if (writes.length === 0) return Promise.resolve()
    let bytes = 0
    for (const write of writes) bytes += write.key.byteLength + write.value.byteLength
    if (this.#queuedBytes > 0 && this.#queuedBytes + bytes > QUEUE_BYTES) {
      return Promise.reject(new ParleyError('overloaded', { retryAfterMs: 100 }))
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ writes, bytes, resolve, reject })
      this.#queuedBytes += bytes
      this.#running ??= this.#run()
    })
  }

  /** Resolves when all that was asked for so far is decided. */
  async idle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    await Promise.resolve() // what the same turn still asks for joins the first batch
    while (this.#queue.length > 0) {
      const requests = this.#take()
      try {
        await this.#store(requests)
        for (const request of requests) request.resolve()
      } catch (cause) {
        const error = new ParleyError('unavailable', {
          detail: 'the embedded store failed to write',
          cause,
        })
        for (const request of requests) request.reject(error)
      }
    }
    this.#running = undefined
  }

  #take(): Request[] {
    let bytes = 0
    let count = 0
    for (const request of this.#queue) {
      if (count > 0 && bytes + request.bytes > BATCH_BYTES) break
      bytes += request.bytes
      count++
    }
    this.#queuedBytes -= bytes
    return this.#queue.splice(0, count)
  }

  async #store(requests: readonly Request[]): Promise<void> {
    const puts: { type: 'put'; key: Buffer; value: Uint8Array }[] = []
    const raises = new Map<string, Write>()
    for (const request of requests) {
      for (const write of request.writes) {
        if (write.type === 'put') {
          puts.push({ type: 'put', key: write.key, value: write.value })
          continue
        }
        const name = write.key.toString('latin1')
        const other = raises.get(name)
        if (!other || stampOf(write.value) > stampOf(other.value)) raises.set(name, write)
      }
    }
    const candidates = [...raises.values()]
    const stored = await this.#rows.getMany(candidates.map((write) => write.key))
    candidates.forEach((write, n) => {
      const old = stored[n]
      if (!old || old.byteLength < STAMP || stampOf(write.value) > stampOf(old)) {
        puts.push({ type: 'put', key: write.key, value: write.value })
      }
    })
    if (puts.length > 0) await this.#rows.batch(puts)
  }
}
