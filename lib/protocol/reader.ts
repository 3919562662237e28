/**
 * Reads MessagePack strictly: the caller says what must come next and anything else is refused. No extensions,
 * no floats, no negative numbers, valid UTF-8 only, bounded depth and sizes. Every length is checked against what
 * is left before anything is allocated, so a few bytes can't claim gigabytes.
 */
export class BadFrame extends Error {
  constructor(what: string) {
    super(what)
    this.name = 'BadFrame'
  }
}

// A byte order mark is text like any other: dropping it would change a message, and make an id of what is none.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

// Ids are short ASCII: their characters go through an array of the right length into one call. Half of what adding
// characters to a string or the decoder costs, since the string is flat at once (bench/micro/strings.ts).
const SHORT = 33
const CHARACTERS = Array.from({ length: SHORT }, (_, length) => new Array<number>(length).fill(0))

const words = new DataView(new ArrayBuffer(8))

/** Nesting deeper than this is refused, known field or not. */
export const MAX_DEPTH = 8

export class Reader {
  // No DataView beside it: making one costs more than it saves in a frame (bench/micro/codec.ts).
  readonly #bytes: Uint8Array
  #at = 0
  readonly #end: number

  constructor(bytes: Uint8Array) {
    // Of a Buffer `slice` would be a view: who keeps a copy would keep, and follow, the whole message.
    this.#bytes =
      bytes.constructor === Uint8Array
        ? bytes
        : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#end = bytes.length
  }

  /** The offset of the next byte. */
  get at(): number {
    return this.#at
  }

  get done(): boolean {
    return this.#at >= this.#end
  }

  /** The bytes between two offsets: a view, no copy. */
  span(from: number, to: number): Uint8Array {
    return this.#bytes.subarray(from, to)
  }

  #take(size: number): number {
    const at = this.#at
    if (size > this.#end - at) throw new BadFrame('truncated')
    this.#at = at + size
    return at
  }

  #byte(): number {
    return this.#bytes[this.#take(1)]!
  }

  #uint16(): number {
    const at = this.#take(2)
    const bytes = this.#bytes
    return (bytes[at]! << 8) | bytes[at + 1]!
  }

  #uint32(): number {
    const at = this.#take(4)
    const bytes = this.#bytes
    return (
      ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
    )
  }

  array(max = 0xffff): number {
    const byte = this.#byte()
    let length: number
    if (byte >= 0x90 && byte <= 0x9f) length = byte & 15
    else if (byte === 0xdc) length = this.#uint16()
    else if (byte === 0xdd) length = this.#uint32()
    else throw new BadFrame('array expected')
    // Every item takes a byte at least.
    if (length > max || length > this.#end - this.#at) throw new BadFrame('array too long')
    return length
  }

  uint(max: number = Number.MAX_SAFE_INTEGER): number {
    const byte = this.#byte()
    let value: number
    if (byte < 0x80) value = byte
    else if (byte === 0xcc) value = this.#byte()
    else if (byte === 0xcd) value = this.#uint16()
    else if (byte === 0xce) value = this.#uint32()
    else if (byte === 0xcf) value = this.#uint32() * 0x100000000 + this.#uint32()
    else throw new BadFrame('unsigned integer expected')
    if (value > max) throw new BadFrame('integer too large')
    return value
  }

  /** A snowflake: `cf` and nothing else. */
  id64(): bigint {
    if (this.#byte() !== 0xcf) throw new BadFrame('uint64 expected')
    words.setUint32(0, this.#uint32())
    words.setUint32(4, this.#uint32())
    return words.getBigUint64(0)
  }

  bool(): boolean {
    const byte = this.#byte()
    if (byte === 0xc3) return true
    if (byte === 0xc2) return false
    throw new BadFrame('boolean expected')
  }

  /** True (and past it) when a nil comes next. */
  nil(): boolean {
    if (this.#at >= this.#end) throw new BadFrame('truncated')
    if (this.#bytes[this.#at] !== 0xc0) return false
    this.#at++
    return true
  }

  #strLength(max: number): number {
    const byte = this.#byte()
    let length: number
    if (byte >= 0xa0 && byte <= 0xbf) length = byte & 31
    else if (byte === 0xd9) length = this.#byte()
    else if (byte === 0xda) length = this.#uint16()
    else if (byte === 0xdb) length = this.#uint32()
    else throw new BadFrame('string expected')
    if (length > max) throw new BadFrame('string too long')
    return length
  }

  /** A string of at most `max` bytes of valid UTF-8. */
  str(max: number): string {
    const length = this.#strLength(max)
    const at = this.#take(length)
    if (length >= SHORT) return this.#decode(at, length)
    const bytes = this.#bytes
    const characters = CHARACTERS[length]!
    for (let i = 0; i < length; i++) {
      const code = bytes[at + i]!
      if (code >= 0x80) return this.#decode(at, length)
      characters[i] = code
    }
    return String.fromCharCode.apply(null, characters)
  }

  #decode(at: number, length: number): string {
    try {
      return decoder.decode(this.#bytes.subarray(at, at + length))
    } catch {
      throw new BadFrame('invalid UTF-8')
    }
  }

  /** Past a string of at most `max` bytes, checked but not made: how many bytes it holds. */
  skipStr(max: number): number {
    const length = this.#strLength(max)
    const at = this.#take(length)
    const bytes = this.#bytes
    for (let i = at; i < at + length; i++) {
      if (bytes[i]! >= 0x80) {
        this.#decode(i, at + length - i)
        break
      }
    }
    return length
  }

  /** A byte string of at most `max` bytes: a view, no copy. */
  bin(max: number = Number.MAX_SAFE_INTEGER): Uint8Array {
    const byte = this.#byte()
    let length: number
    if (byte === 0xc4) length = this.#byte()
    else if (byte === 0xc5) length = this.#uint16()
    else if (byte === 0xc6) length = this.#uint32()
    else throw new BadFrame('bytes expected')
    if (length > max) throw new BadFrame('bytes too long')
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** Past one value of any kind that this protocol knows; it stands in `depth` arrays, the frame included. */
  skip(depth = 1): void {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw new BadFrame('truncated')
    if ((byte >= 0x90 && byte <= 0x9f) || byte === 0xdc || byte === 0xdd) {
      if (depth >= MAX_DEPTH) throw new BadFrame('nested too deep')
      for (let n = this.array(); n > 0; n--) this.skip(depth + 1)
    } else if ((byte >= 0xa0 && byte <= 0xbf) || (byte >= 0xd9 && byte <= 0xdb)) {
      this.skipStr(Number.MAX_SAFE_INTEGER)
    } else if (byte >= 0xc4 && byte <= 0xc6) this.bin()
    else if (byte === 0xc0 || byte === 0xc2 || byte === 0xc3) this.#at++
    else if (byte === 0xcf) this.#take(9)
    else this.uint()
  }

  /** Past what an array of `length` items holds beyond the `known` ones: newer peers may say more. */
  skipRest(length: number, known: number, depth = 1): void {
    for (let i = known; i < length; i++) this.skip(depth)
  }
}
