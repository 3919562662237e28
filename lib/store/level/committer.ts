/**
 * All writes of the embedded database go through one committer: one synced batch in flight, and whatever arrives
 * meanwhile is the next one. So the fsyncs of all writers are grouped, and «the higher position wins» needs no
 * lock: nobody else writes between its reads and its batch.
 *
 * Owns: the order of writes. Never does: reads for callers, splitting of a request (each is atomic).
 * I1. A request resolves only after the batch that holds all of it was synced.
 * I2. What is remembered of a position is what the disk holds: nobody else writes, and a failed write is forgotten.
 * I3. The queue holds at most QUEUE_BYTES; past that requests are refused as `overloaded`.
 */
import { ParleyError } from '../../errors.ts'
import { STAMP, stampOf } from './keys.ts'

/**
 * `del`: takes the row away; its value is empty.
 * `raise`: the value starts with its position (keys.ts) and is kept out unless that is above the stored one. With
 * `remember` the stored one is read once and then kept in memory: for keys that are few and raised all the time.
 * `drop`: takes the row away, unless its position is above the one that is given as the value.
 */
export type Write = {
  readonly type: 'put' | 'del' | 'raise' | 'drop'
  readonly key: Buffer
  readonly value: Uint8Array
  readonly remember?: true
}

type Change = { type: 'put'; key: Buffer; value: Uint8Array } | { type: 'del'; key: Buffer }

/** What the committer needs of the database underneath. */
export interface Rows {
  getMany(keys: Buffer[]): Promise<(Uint8Array | undefined)[]>
  /** Resolves when all of it would survive a power loss. */
  batch(changes: Change[]): Promise<void>
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
  readonly #positions = new Map<string, number>()
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
    const changes: Change[] = []
    const raises = new Map<string, Write>()
    for (const { writes } of requests) {
      for (const write of writes) {
        if (write.type === 'put') {
          changes.push({ type: 'put', key: write.key, value: write.value })
          continue
        }
        if (write.type === 'del') {
          changes.push({ type: 'del', key: write.key })
          continue
        }
        const name = write.key.toString('latin1')
        const other = raises.get(name)
        if (!other || isAbove(write, stampOf(other.value))) raises.set(name, write)
      }
    }
    const raised = await this.#above(raises)
    for (const [, { type, key, value }] of raised) {
      changes.push(type === 'drop' ? { type: 'del', key } : { type: 'put', key, value })
    }
    if (changes.length === 0) return
    try {
      await this.#rows.batch(changes)
    } catch (error) {
      for (const [name] of raised) this.#positions.delete(name)
      throw error
    }
    for (const [name, write] of raised) this.#note(name, write, stampOf(write.value))
  }

  /** Those that their position gives the right to: above the stored one, or for a `drop` at least as high. */
  async #above(raises: ReadonlyMap<string, Write>): Promise<[string, Write][]> {
    const above: [string, Write][] = []
    const unknown: [string, Write][] = []
    for (const raise of raises) {
      const position = this.#positions.get(raise[0])
      if (position === undefined) unknown.push(raise)
      else if (isAbove(raise[1], position)) above.push(raise)
    }
    if (unknown.length === 0) return above
    const stored = await this.#rows.getMany(unknown.map(([, { key }]) => key))
    unknown.forEach((raise, n) => {
      const [name, write] = raise
      const old = stored[n]
      const position = old && old.byteLength >= STAMP ? stampOf(old) : -1
      if (isAbove(write, position)) above.push(raise)
      else this.#note(name, write, position)
    })
    return above
  }

  #note(name: string, write: Write, position: number): void {
    if (write.remember) this.#positions.set(name, position)
  }
}

/** A row that is not there has position -1. */
const isAbove = ({ type, value }: Write, position: number): boolean =>
  type === 'drop' ? stampOf(value) >= position && position >= 0 : stampOf(value) > position
