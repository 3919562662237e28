/**
 * Frames to bytes and back, by the table of frames.ts. Reading is strict (reader.ts); items past the known fields
 * are ignored, so that newer peers may say more. The hot frames have quicker ways in hot.ts, tested to be the same.
 */
import { parseRoomId, parseUserId } from '../ids.ts'
import type { Wire } from './fields.ts'
import { type AnyFrame, FRAMES, type Frame, type FrameName } from './frames.ts'
import { BadFrame, Reader } from './reader.ts'
import { Writer } from './writer.ts'

const ID_MAX = 32

/** One value; `depth` is how many arrays it stands in, the frame included. @throws BadFrame */
export const readValue = (reader: Reader, field: Wire, depth = 1): unknown => {
  switch (field.wire) {
    case 'uint':
      return reader.uint(field.maximum)
    case 'id64':
      return reader.id64()
    case 'bool':
      return reader.bool()
    case 'str':
      return reader.str(field.max)
    case 'room':
      return parseRoomId(reader.str(ID_MAX)) ?? bad('room id expected')
    case 'user':
      return parseUserId(reader.str(ID_MAX)) ?? bad('user id expected')
    case 'raw': {
      const from = reader.at
      reader.skip(depth)
      return reader.span(from, reader.at).slice()
    }
    case 'nullable':
      return reader.nil() ? null : readValue(reader, field.inner, depth)
    case 'list': {
      const items: unknown[] = []
      for (let n = reader.array(field.max); n > 0; n--) {
        items.push(readValue(reader, field.inner, depth + 1))
      }
      return items
    }
    case 'record':
      return readFields(reader, field.fields, reader.array(), depth + 1)
  }
}

const bad = (what: string): never => {
  throw new BadFrame(what)
}

const readFields = (
  reader: Reader,
  fields: Record<string, Wire>,
  length: number,
  depth: number,
) => {
  const value: Record<string, unknown> = {}
  let known = 0
  for (const key in fields) {
    if (known++ >= length) throw new BadFrame(`${key} is missing`)
    value[key] = readValue(reader, fields[key]!, depth)
  }
  reader.skipRest(length, known, depth)
  return value
}

export const writeValue = (writer: Writer, field: Wire, value: unknown): void => {
  switch (field.wire) {
    case 'uint':
      writer.uint(value as number)
      break
    case 'id64':
      writer.id64(value as bigint)
      break
    case 'bool':
      writer.bool(value as boolean)
      break
    case 'str':
    case 'room':
    case 'user':
      writer.str(value as string)
      break
    case 'raw':
      writer.raw(value as Uint8Array)
      break
    case 'nullable':
      if (value === null) writer.nil()
      else writeValue(writer, field.inner, value)
      break
    case 'list': {
      const items = value as unknown[]
      writer.array(items.length)
      for (const item of items) writeValue(writer, field.inner, item)
      break
    }
    case 'record': {
      const keys = Object.keys(field.fields)
      writer.array(keys.length)
      for (const key of keys) {
        writeValue(writer, field.fields[key]!, (value as Record<string, unknown>)[key])
      }
      break
    }
  }
}

type Layout = { name: FrameName; type: number; fields: Record<string, Wire>; count: number }

const LAYOUTS = Object.fromEntries(
  Object.entries(FRAMES).map(([name, spec]) => [
    name,
    {
      name,
      type: spec.type,
      fields: spec.fields as unknown as Record<string, Wire>,
      count: Object.keys(spec.fields).length,
    },
  ]),
) as Record<FrameName, Layout>

const BY_TYPE = new Map<number, Layout>(
  Object.values(LAYOUTS).map((layout) => [layout.type, layout]),
)

/** Appends one frame. */
export const writeFrame = <N extends FrameName>(
  writer: Writer,
  name: N,
  frame: Frame<N>,
): Writer => {
  const layout = LAYOUTS[name]
  writer.array(layout.count + 1).uint(layout.type)
  for (const key in layout.fields) {
    writeValue(writer, layout.fields[key]!, (frame as Record<string, unknown>)[key])
  }
  return writer
}

export const encodeFrame = <N extends FrameName>(name: N, frame: Frame<N>): Uint8Array =>
  writeFrame(new Writer(), name, frame).take()

/**
 * The next frame. An unknown type is passed over and returned as its number, so that a peer can refuse it by name.
 * @throws BadFrame when the bytes are not a frame.
 */
export const readFrame = (
  reader: Reader,
): AnyFrame | { name: undefined; type: number; req: number } => {
  const length = reader.array()
  if (length < 1) throw new BadFrame('empty frame')
  const type = reader.uint(0xffff)
  const layout = BY_TYPE.get(type)
  if (layout === undefined) return unknownFrame(reader, type, length)
  const value = readFields(reader, layout.fields, length - 1, 1)
  value.name = layout.name
  return value as unknown as AnyFrame
}

const unknownFrame = (reader: Reader, type: number, length: number) => {
  const at = reader.at
  reader.skipRest(length, 1)
  let req = 0
  try {
    if (length > 1) req = new Reader(reader.span(at, reader.at)).uint(0xffffffff)
  } catch {
    // The first field of a frame that is not known need not be a request number.
  }
  return { name: undefined, type, req }
}

/** All frames of one WebSocket message: one at least (contracts W1). @throws BadFrame */
export const readFrames = (bytes: Uint8Array) => {
  const reader = new Reader(bytes)
  if (reader.done) throw new BadFrame('empty message')
  const frames = []
  while (!reader.done) frames.push(readFrame(reader))
  return frames
}
