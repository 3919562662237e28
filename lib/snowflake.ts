/**
 * Message ids and lineages: numbers that rise with time and are unique as long as no two live sources share a worker
 * number (leased in KV `workers`). They identify; order within a room is `seq` alone.
 *
 *   id       | 41 bits ms since EPOCH | 10 bits worker | 12 bits sequence |   63 bits
 *   lineage  | 41 bits ms since EPOCH | 10 bits worker |  2 bits sequence |   53 bits, a safe integer
 *
 * S1. Each kind strictly rises per source, also when the clock steps back: time stands still then.
 * S2. A full sequence goes on in the next ms, so a burst runs ahead of the clock instead of waiting.
 * S3. Across restarts only the clock and `notBefore` keep S1: whoever leases a worker number gives the time up to which
 *     it may have been used.
 */

/** 2026-01-01T00:00:00Z. 41 bits of ms last until September 2095. */
export const EPOCH = 1_767_225_600_000

export const WORKERS = 1024
const LAST_MS = 2 ** 41 - 1
const IDS_PER_MS = 4096
const LINEAGES_PER_MS = 4

/** Milliseconds since EPOCH that never fall, each split into `size` numbers. */
class Ticks {
  ms: number
  sequence = -1
  readonly #size: number

  constructor(ms: number, size: number) {
    this.ms = ms
    this.#size = size
  }

  advance(now: number): void {
    const ms = now - EPOCH
    if (ms > this.ms) {
      this.ms = ms
      this.sequence = 0
    } else if (++this.sequence === this.#size) {
      this.ms++
      this.sequence = 0
    }
    if (this.ms > LAST_MS) throw new RangeError(`past the last ms of ids: ${now}`)
  }
}

export class Snowflake {
  readonly worker: number
  readonly #ids: Ticks
  readonly #lineages: Ticks
  // Two words written, one bigint read: a sixth of what shifts of bigints cost (bench/micro/snowflake.ts).
  readonly #words = new DataView(new ArrayBuffer(8))

  /**
   * `worker` is 0 … 1023; nothing is given for a time before `notBefore` (ms since 1970).
   * @throws RangeError for another worker number.
   */
  constructor(worker: number, notBefore = EPOCH) {
    if (!Number.isInteger(worker) || worker < 0 || worker >= WORKERS) {
      throw new RangeError(`not a worker number: ${worker}`)
    }
    this.worker = worker
    const from = Math.max(0, Math.ceil(notBefore) - EPOCH)
    this.#ids = new Ticks(from, IDS_PER_MS)
    this.#lineages = new Ticks(from, LINEAGES_PER_MS)
  }

  /** The newest time (ms since 1970) that was used: what the next holder of the worker number starts after. */
  get last(): number {
    return EPOCH + Math.max(this.#ids.ms, this.#lineages.ms)
  }

  /** A message id, greater than all before. `now` is whole ms since 1970. @throws RangeError past 41 bits */
  next(now: number): bigint {
    const ids = this.#ids
    ids.advance(now)
    const { ms } = ids
    const words = this.#words
    words.setUint32(0, ms / 1024)
    words.setUint32(4, (ms << 22) | (this.worker << 12) | ids.sequence)
    return words.getBigUint64(0)
  }

  /** A lineage (contracts N1), greater than all before. `now` is whole ms since 1970. @throws RangeError past 41 bits */
  lineage(now: number): number {
    const lineages = this.#lineages
    lineages.advance(now)
    return lineages.ms * 4096 + this.worker * 4 + lineages.sequence
  }
}

/** When an id was made, ms since 1970 by its source's clock. */
export const timeOfId = (id: bigint): number => Number(id >> 22n) + EPOCH

/** When a lineage was made, ms since 1970 by its source's clock. */
export const timeOfLineage = (lineage: number): number => Math.floor(lineage / 4096) + EPOCH
