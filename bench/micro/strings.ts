/**
 * µs to make a string of the bytes of an id and look it up, the way reader.ts does (an array of characters into one
 * call) and the ways that lost. A Buffer's latin1 is as quick, but of Node alone.
 *
 *   node bench/micro/strings.ts [--json]
 */
import { newGroupId, parseRoomId } from '../../lib/ids.ts'
import { measure, report } from './measure.ts'

const id = newGroupId()
const bytes = new TextEncoder().encode(`x${id}${'y'.repeat(100)}`)
const { length } = id
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const rooms = new Map([[id, 1]])
const characters = new Array<number>(length).fill(0)
const buffer = Buffer.from(bytes.buffer)

const ways: Record<string, (at: number) => string> = {
  'array of characters': (at) => {
    for (let i = 0; i < length; i++) characters[i] = bytes[at + i]!
    return String.fromCharCode.apply(null, characters)
  },
  'adding characters': (at) => {
    let text = ''
    for (let i = at; i < at + length; i++) text += String.fromCharCode(bytes[i]!)
    return text
  },
  'applying a view': (at) =>
    String.fromCharCode.apply(null, bytes.subarray(at, at + length) as unknown as number[]),
  decoder: (at) => decoder.decode(bytes.subarray(at, at + length)),
  'latin1 of a Buffer (Node)': (at) => buffer.toString('latin1', at, at + length),
}

let kept = 0
report(
  'strings',
  measure(
    Object.entries(ways).map(([name, way]) => {
      if (way(1) !== id) throw new Error(`${name} is wrong`)
      return {
        name,
        run: (times: number) => {
          for (let i = 0; i < times; i++) kept += rooms.get(parseRoomId(way(1))!)!
        },
      }
    }),
  ),
)
if (kept === 0) throw new Error('nothing was read')
