/**
 * Writes MessagePack by type: the caller says what a value is, so an integer is never a float (contracts W2).
 * Owns one growing buffer; `take` copies out what was written, `view` lends it until the next write.
 */
const encoder = new TextEncoder()

/**
 * Small results are cut from a shared slab: an ArrayBuffer each would cost more than writing them
 * (bench/micro/take.ts). A kept result keeps its slab, so slabs are small.
 */
const SLAB = 8192
const SLAB_MOST = 1024
let slab = new Uint8Array(SLAB)
let slabAt = 0

const copyOf = (bytes: Uint8Array, length: number): Uint8Array => {
  if (length > SLAB_MOST) return bytes.slice(0, length)
  if (slabAt + length > SLAB) {
    slab = new Uint8Array(SLAB)
    slabAt = 0
  }
  const from = slabAt
  slabAt += length
  const copy = slab.subarray(from, slabAt)
  if (length < 48) for (let i = 0; i < length; i++) copy[i] = bytes[i]!
  else copy.set(bytes.subarray(0, length))
  return copy
}

export class Writer {
  #bytes: Uint8Array
  #view: DataView
  #at = 0

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at
  }

  reset(): this {
    this.#at = 0
    return this
  }

  /** Forgets what was written past `length`. */
  truncate(length: number): void {
    if (length < this.#at) this.#at = length
  }

  /** A copy of what was written; the writer starts anew. */
  take(): Uint8Array {
    const copy = copyOf(this.#bytes, this.#at)
    this.#at = 0
    return copy
  }

  /** What was written, without a copy: the writer must not be used again. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  /** What was written since `from`, valid until the next write or reset. */
  view(from = 0): Uint8Array {
    return this.#bytes.subarray(from, this.#at)
  }

  #room(size: number): number {
    const at = this.#at
    const need = at + size
    if (need > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(need, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, at))
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    this.#at = need
    return at
  }

  #put(byte: number): void {
    // First the room, then the buffer: growing replaces it.
    const at = this.#room(1)
    this.#bytes[at] = byte
  }

  nil(): this {
    this.#put(0xc0)
    return this
  }

  bool(value: boolean): this {
    this.#put(value ? 0xc3 : 0xc2)
    return this
  }

  /** The smallest unsigned form of a safe integer ≥ 0. @throws RangeError for anything else */
  uint(value: number): this {
    if (value >>> 0 === value) {
      if (value < 0x80) this.#put(value)
      else if (value <= 0xff) {
        const at = this.#room(2)
        this.#bytes[at] = 0xcc
        this.#bytes[at + 1] = value
      } else if (value <= 0xffff) {
        const at = this.#room(3)
        this.#bytes[at] = 0xcd
        this.#view.setUint16(at + 1, value)
      } else {
        const at = this.#room(5)
        this.#bytes[at] = 0xce
        this.#view.setUint32(at + 1, value)
      }
    } else {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new RangeError(`not a safe unsigned integer: ${value}`)
      }
      const at = this.#room(9)
      this.#bytes[at] = 0xcf
      this.#view.setUint32(at + 1, Math.floor(value / 0x100000000))
      this.#view.setUint32(at + 5, value >>> 0)
    }
    return this
  }

  /** A snowflake: always `cf` and eight bytes. */
  id64(value: bigint): this {
    const at = this.#room(9)
    this.#bytes[at] = 0xcf
    this.#view.setBigUint64(at + 1, value)
    return this
  }

  array(length: number): this {
    if (length < 16) this.#put(0x90 | length)
    else if (length <= 0xffff) {
      const at = this.#room(3)
      this.#bytes[at] = 0xdc
      this.#view.setUint16(at + 1, length)
    } else {
      const at = this.#room(5)
      this.#bytes[at] = 0xdd
      this.#view.setUint32(at + 1, length)
    }
    return this
  }

  str(text: string): this {
    const chars = text.length
    if (chars < 32) {
      // Most strings are short ASCII ids: no encoder call for them (bench/micro/codec.ts).
      const at = this.#room(1 + chars)
      const bytes = this.#bytes
      let i = 0
      for (; i < chars; i++) {
        const code = text.charCodeAt(i)
        if (code >= 0x80) break
        bytes[at + 1 + i] = code
      }
      if (i === chars) {
        bytes[at] = 0xa0 | chars
        return this
      }
      this.#at = at
    }
    const encoded = encoder.encode(text)
    this.strHeader(encoded.length)
    return this.raw(encoded)
  }

  strHeader(length: number): this {
    if (length < 32) this.#put(0xa0 | length)
    else if (length <= 0xff) {
      const at = this.#room(2)
      this.#bytes[at] = 0xd9
      this.#bytes[at + 1] = length
    } else if (length <= 0xffff) {
      const at = this.#room(3)
      this.#bytes[at] = 0xda
      this.#view.setUint16(at + 1, length)
    } else {
      const at = this.#room(5)
      this.#bytes[at] = 0xdb
      this.#view.setUint32(at + 1, length)
    }
    return this
  }

  bin(value: Uint8Array): this {
    const { length } = value
    if (length <= 0xff) {
      const at = this.#room(2)
      this.#bytes[at] = 0xc4
      this.#bytes[at + 1] = length
    } else if (length <= 0xffff) {
      const at = this.#room(3)
      this.#bytes[at] = 0xc5
      this.#view.setUint16(at + 1, length)
    } else {
      const at = this.#room(5)
      this.#bytes[at] = 0xc6
      this.#view.setUint32(at + 1, length)
    }
    return this.raw(value)
  }

  /** Bytes that are MessagePack already. */
  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length)
    this.#bytes.set(bytes, at)
    return this
  }
}
