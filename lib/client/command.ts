/**
 * Numbered commands: what the app asks, and the bytes that go out. A command is encoded once, without its request
 * number, so that every resend has the same bytes and the room knows it again (contracts N2, N3).
 */
import { encodeFrame } from '../protocol/codec.ts'
import { FRAMES, type Frame, type NumberedFrame } from '../protocol/frames.ts'
import { Reader } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'

type NumberedName = NumberedFrame['name']
type Numbers = 'req' | 'lineage' | 'join' | 'n' | 'low'
/** A numbered frame before it is numbered. */
export type Command = {
  [N in NumberedName]: { readonly name: N } & Omit<Frame<N>, Numbers>
}[NumberedName]
export type CommandNumbers = Pick<NumberedFrame, 'lineage' | 'join' | 'n' | 'low'>

/** The frame's bytes after its request number. */
export const encodeTail = (command: Command, numbers: CommandNumbers): Uint8Array => {
  const frame = { ...command, ...numbers, req: 0 }
  const bytes = encodeFrame(command.name, frame as Frame<NumberedName>)
  const reader = new Reader(bytes)
  reader.array()
  reader.uint()
  reader.uint()
  return bytes.slice(reader.at)
}

/** The whole frame, as request `req`. */
export const frameOf = (name: NumberedName, req: number, tail: Uint8Array): Uint8Array => {
  const { type, fields } = FRAMES[name]
  return new Writer(tail.length + 16)
    .array(Object.keys(fields).length + 1)
    .uint(type)
    .uint(req)
    .raw(tail)
    .take()
}

export const toBase64 = (bytes: Uint8Array): string => {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}

export const fromBase64 = (text: string): Uint8Array =>
  Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
