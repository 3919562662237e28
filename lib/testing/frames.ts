/** Arbitrary frames for fast-check, made from the frame table, so that a new frame is tested as soon as it is there. */
import fc from 'fast-check'
import { parseRoomId, parseUserId } from '../ids.ts'
import type { Wire } from '../protocol/fields.ts'
import { type AnyFrame, FRAMES, type FrameName } from '../protocol/frames.ts'
import { Writer } from '../protocol/writer.ts'

const BORDERS = [7, 8, 16, 31, 32, 53].flatMap((bits) => [2 ** bits - 1, 2 ** bits, 2 ** bits + 1])

/** Unsigned integers up to `max`, often at the borders of their forms. */
export const uints = (max: number): fc.Arbitrary<number> =>
  fc.oneof(
    fc.constantFrom(0, max, ...BORDERS.filter((border) => border <= max)),
    fc.integer({ min: 0, max }),
  )

const utf8 = new TextEncoder()

/** Well-formed text of at most `max` bytes, any plane, with short and long ones. */
export const texts = (max: number): fc.Arbitrary<string> =>
  fc
    .oneof(
      fc.string({ maxLength: 40 }),
      fc.string({ unit: 'binary', maxLength: 400 }),
      fc.string({ unit: 'grapheme', maxLength: 100 }),
    )
    .map((text) => {
      let cut = text
      while (utf8.encode(cut).length > max) cut = [...cut].slice(0, -1).join('')
      return cut
    })

/** The bytes of one value of the subset, nested at most `levels` deep. */
export const values = (levels: number): fc.Arbitrary<Uint8Array> => {
  const leaf = fc.oneof(
    uints(Number.MAX_SAFE_INTEGER).map((value) => new Writer().uint(value).take()),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => new Writer().id64(value).take()),
    texts(400).map((value) => new Writer().str(value).take()),
    fc.uint8Array({ maxLength: 300 }).map((value) => new Writer().bin(value).take()),
    fc.constantFrom(0xc0, 0xc2, 0xc3).map((byte) => Uint8Array.of(byte)),
  )
  if (levels === 0) return leaf
  return fc.oneof(
    leaf,
    fc.array(values(levels - 1), { maxLength: 17 }).map((items) => {
      const writer = new Writer().array(items.length)
      for (const item of items) writer.raw(item)
      return writer.take()
    }),
  )
}

const id = (pattern: RegExp, parse: (text: string) => unknown) =>
  fc.stringMatching(pattern).filter((text) => parse(text) !== undefined)

const userIds = id(/^u[A-Za-z0-9_-]{0,31}$/, parseUserId)
const roomIds = fc.oneof(
  id(/^d[A-Za-z0-9_-]{22}$/, parseRoomId),
  id(/^g[A-Za-z0-9_-]{8,31}$/, parseRoomId),
)

/** Values that the codec may be given for a field. */
export const fieldValues = (field: Wire): fc.Arbitrary<unknown> => {
  switch (field.wire) {
    case 'uint':
      return uints(field.maximum)
    case 'id64':
      return fc.oneof(
        fc.constantFrom(0n, 1n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n),
        fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      )
    case 'bool':
      return fc.boolean()
    case 'str':
      return texts(field.max)
    case 'room':
      return roomIds
    case 'user':
      return userIds
    case 'raw':
      return values(2)
    case 'nullable':
      return fc.option(fieldValues(field.inner), { nil: null })
    case 'list':
      return fc.array(fieldValues(field.inner), { maxLength: Math.min(field.max, 17) })
    case 'record':
      return fc.record(
        Object.fromEntries(
          Object.entries(field.fields).map(([key, inner]) => [key, fieldValues(inner)]),
        ),
        { noNullPrototype: true },
      )
  }
}

export const fieldsOf = (name: FrameName): Record<string, Wire> =>
  FRAMES[name].fields as unknown as Record<string, Wire>

/** Frames of one kind. */
export const framesOf = (name: FrameName): fc.Arbitrary<AnyFrame> =>
  fieldValues({ wire: 'record', fields: fieldsOf(name) }).map(
    (fields) => ({ name, ...(fields as object) }) as AnyFrame,
  )

export const FRAME_NAMES = Object.keys(FRAMES) as FrameName[]

/** Frames of every kind. */
export const frames = (): fc.Arbitrary<AnyFrame> => fc.oneof(...FRAME_NAMES.map(framesOf))
