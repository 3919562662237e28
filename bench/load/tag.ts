/**
 * The first characters of every text that the generator sends: which lane, which command, due when. So every
 * delivery says what it is, in whatever process, however late.
 */
import type { SeenEvent } from './inbound.ts'

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const CODES = Uint8Array.from(DIGITS, (digit) => digit.charCodeAt(0))
const VALUES = new Uint8Array(128)
for (const [value, code] of CODES.entries()) VALUES[code] = value

const LANE = 4
const N = 6
const DUE = 8
export const TAG_BYTES = LANE + N + DUE

const writeDigits = (into: Uint8Array, at: number, size: number, value: number): number => {
  let rest = value
  for (let i = size - 1; i >= 0; i--) {
    // Past 32 bits there are no bitwise operators.
    const next = Math.floor(rest / 64)
    into[at + i] = CODES[rest - next * 64]!
    rest = next
  }
  return at + size
}

const readDigits = (bytes: Uint8Array, at: number, size: number): number => {
  let value = 0
  for (let i = 0; i < size; i++) value = value * 64 + VALUES[bytes[at + i]! & 127]!
  return value
}

/** `dueUs` is cut to whole µs. */
export const writeTag = (
  into: Uint8Array,
  at: number,
  lane: number,
  n: number,
  dueUs: number,
): void => {
  const next = writeDigits(into, writeDigits(into, at, LANE, lane), N, n)
  writeDigits(into, next, DUE, Math.floor(dueUs))
}

export const laneIn = (bytes: Uint8Array, at: number): number => readDigits(bytes, at, LANE)
export const nIn = (bytes: Uint8Array, at: number): number => readDigits(bytes, at + LANE, N)
export const dueIn = (bytes: Uint8Array, at: number): number =>
  readDigits(bytes, at + LANE + N, DUE)

/** Where the text of a message starts; undefined when it is too short to hold a tag. */
export const textAt = ({ bytes, bodyAt, bodyEnd }: SeenEvent): number | undefined => {
  const header = bytes[bodyAt + 1]!
  const at = bodyAt + (header < 0xc0 ? 2 : header === 0xd9 ? 3 : 4)
  return bodyEnd - at >= TAG_BYTES ? at : undefined
}

const PROSE =
  ' Shall we take the early train on Thursday? The later one leaves only at a quarter past ten, I think. '

/** Real text of `bytes` bytes whose start is to be a tag. */
export const textOf = (bytes: number): string => {
  if (bytes < TAG_BYTES) throw new Error(`a text must have ${TAG_BYTES} bytes at least`)
  const rest = bytes - TAG_BYTES
  return '.'.repeat(TAG_BYTES) + PROSE.repeat(Math.ceil(rest / PROSE.length)).slice(0, rest)
}
