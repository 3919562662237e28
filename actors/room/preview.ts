/** The first characters of the newest message: cut from bytes, and made a string only when a pointer needs it. */
import type { Room } from './state.ts'

const CHARACTERS = 80
const BYTES = 256
/** What of a body is kept: two headers and `BYTES`. */
const KEPT = BYTES + 8

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** Offset of the text in a message's body: past the array's header and the string's. */
const textAt = (body: Uint8Array): number => {
  const header = body[1] ?? 0
  if (header === 0xd9) return 3
  if (header === 0xda) return 4
  return header === 0xdb ? 6 : 2
}

const widthOf = (lead: number): number => {
  if (lead < 0x80) return 1
  if (lead < 0xe0) return 2
  return lead < 0xf0 ? 3 : 4
}

/** At most 80 code points and 256 bytes of a message's text, whole code points only. */
export const previewOf = (body: Uint8Array): string => {
  const from = textAt(body)
  const most = Math.min(body.length, from + BYTES)
  let to = from
  for (let count = 0; count < CHARACTERS && to < most; count++) {
    const width = widthOf(body[to]!)
    if (to + width > most) break
    to += width
  }
  return decoder.decode(body.subarray(from, to))
}

/** Buffers that small bodies are cut from (lib/protocol/writer.ts) are no larger. */
const SLAB = 16_384

/** The beginning of a body that may be kept: neither long nor a view of a buffer that holds much else. */
export const beginningOf = (body: Uint8Array): Uint8Array =>
  body.length <= KEPT && body.buffer.byteLength <= SLAB ? body : body.slice(0, KEPT)

/** Of the newest message; '' when there is none. */
export const newestPreview = (state: Room): string => {
  if (state.newestBody !== undefined) {
    state.preview = previewOf(state.newestBody)
    state.newestBody = undefined
  }
  return state.preview
}
