/**
 * What waits to be written to one session: frames, concatenated, in one buffer borrowed from a pool while there is
 * something. Durable frames are never left out: what does not fit is told to the caller, who ends the session.
 */

const SMALLEST = 1024
/** A session that wrote much in its last turn starts with as much room in the next, up to this. */
const MOST_AT_ONCE = 16_384

/** Buffers by powers of two from 1 KiB; keeps what it may and leaves the rest to the collector. */
export class Pool {
  readonly #free: Uint8Array[][] = []
  readonly #keepBytes: number
  #kept = 0

  constructor(keepBytes = 4 * 1024 * 1024) {
    this.#keepBytes = keepBytes
  }

  /** A buffer of at least `size` bytes with anything in it. */
  take(size: number): Uint8Array {
    const order = orderOf(size)
    const buffer = this.#free[order]?.pop()
    if (buffer === undefined) return new Uint8Array(SMALLEST << order)
    this.#kept -= buffer.length
    return buffer
  }

  give(buffer: Uint8Array): void {
    if (this.#kept + buffer.length > this.#keepBytes) return
    this.#kept += buffer.length
    const order = orderOf(buffer.length)
    let free = this.#free[order]
    if (free === undefined) {
      free = []
      this.#free[order] = free
    }
    free.push(buffer)
  }
}

const orderOf = (size: number): number => {
  let order = 0
  while (SMALLEST << order < size) order++
  return order
}

export class Outbox {
  readonly #pool: Pool
  readonly #bound: number
  #bytes: Uint8Array | undefined
  #length = 0
  #last = 0
  /** The socket holds bytes that it could not write; nothing more is given to it until it drains. */
  choked = false

  constructor(pool: Pool, bound: number) {
    this.#pool = pool
    this.#bound = bound
  }

  get length(): number {
    return this.#length
  }

  /** Copies the frame in; false when it would pass the bound. An empty outbox takes a frame of any size. */
  push(frame: Uint8Array): boolean {
    const at = this.#length
    const need = at + frame.length
    if (need > this.#bound && at > 0) return false
    let bytes = this.#bytes
    if (bytes === undefined) {
      bytes = this.#pool.take(Math.max(need, Math.min(this.#last, MOST_AT_ONCE)))
      this.#bytes = bytes
    } else if (need > bytes.length) {
      const grown = this.#pool.take(need)
      grown.set(bytes.subarray(0, at))
      this.#pool.give(bytes)
      this.#bytes = grown
      bytes = grown
    }
    bytes.set(frame, at)
    this.#length = need
    return true
  }

  /** What waits: a view, valid until the next push or clear. */
  view(): Uint8Array | undefined {
    return this.#bytes?.subarray(0, this.#length)
  }

  /** Forgets what waits and gives the buffer back. */
  clear(): void {
    if (this.#bytes !== undefined) this.#pool.give(this.#bytes)
    this.#bytes = undefined
    this.#last = this.#length
    this.#length = 0
  }
}
