/** The tables and examples of docs/PROTOCOL.md, from the frame table and the golden vectors. */
import { unpack } from 'msgpackr'
import { readFrame } from '../../lib/protocol/codec.ts'
import { EVENT_KINDS } from '../../lib/protocol/events.ts'
import type { Wire } from '../../lib/protocol/fields.ts'
import { FRAMES, type FrameName, LIMITS } from '../../lib/protocol/frames.ts'
import { POINTER } from '../../lib/protocol/pointer.ts'
import { MAX_DEPTH, Reader } from '../../lib/protocol/reader.ts'
import { EXAMPLES, type Example, INTEGERS } from '../../lib/protocol/vectors.ts'
import { table } from './markdown.ts'

type Described = Wire & { readonly description?: string }

const fieldsOf = (name: FrameName): Record<string, Described> =>
  FRAMES[name].fields as unknown as Record<string, Described>
const pointer = POINTER as unknown as Described & { wire: 'record' }
const isPointer = (field: Wire): boolean =>
  field.wire === 'record' && field.fields === pointer.fields

/** A field's type as people read it. */
export const typeOf = (field: Wire): string => {
  switch (field.wire) {
    case 'uint':
      return field.maximum === Number.MAX_SAFE_INTEGER ? 'uint' : `uint ≤ ${field.maximum}`
    case 'id64':
      return 'uint64'
    case 'bool':
      return 'bool'
    case 'str':
      return `str ≤ ${field.max}`
    case 'room':
      return 'room id'
    case 'user':
      return 'user id'
    case 'raw':
      return 'any'
    case 'nullable':
      return `${typeOf(field.inner)} or nil`
    case 'list':
      return `[${typeOf(field.inner)} …] ≤ ${field.max}`
    case 'record':
      if (isPointer(field)) return '[pointer](#pointer)'
      return `[${Object.keys(field.fields).join(', ')}]`
  }
}

/** A row per field; the items of nested records follow, but for pointers, which have a table of their own. */
const rows = (fields: Record<string, Described>, path = ''): string[][] =>
  Object.entries(fields).flatMap(([key, field]) => {
    let inner: Described = field
    while (inner.wire === 'nullable' || inner.wire === 'list') inner = inner.inner
    const name = `${path}${key}`
    const row = [`\`${name}\``, typeOf(field), field.description ?? '']
    return inner.wire === 'record' && !isPointer(inner)
      ? [row, ...rows(inner.fields, `${name}.`)]
      : [row]
  })

const fieldTable = (fields: Record<string, Described>): string =>
  table(['field', 'type', 'meaning'], rows(fields))

const NAMES = Object.keys(FRAMES) as FrameName[]

const reference = (name: FrameName): string => {
  const { type, from, class: kind, doc } = FRAMES[name]
  const head = `#### ${name} (${type})\n\nFrom the ${from}, ${kind}. ${doc}`
  return `${head}\n\n${fieldTable(fieldsOf(name))}`
}

const spaced = (bytes: Uint8Array): string =>
  Buffer.from(bytes).toString('hex').replace(/../g, '$& ').trim()

const show = (value: unknown): string =>
  typeof value === 'bigint'
    ? String(value)
    : Array.isArray(value)
      ? `[${value.map(show).join(', ')}]`
      : JSON.stringify(value)

/** A value as it stands on the wire, arrays in brackets. */
const shown = (field: Wire, value: unknown): string => {
  switch (field.wire) {
    case 'nullable':
      return value === null ? 'nil' : shown(field.inner, value)
    case 'list':
      return `[${(value as unknown[]).map((item) => shown(field.inner, item)).join(', ')}]`
    case 'record':
      return `[${Object.entries(field.fields)
        .map(([key, inner]) => shown(inner, (value as Record<string, unknown>)[key]))
        .join(', ')}]`
    case 'raw':
      return shownRaw(value as Uint8Array)
    default:
      return show(value)
  }
}

/** A whole frame in a page, or the body of an event. */
const shownRaw = (bytes: Uint8Array): string => {
  const type: unknown = unpack(bytes)[0]
  if (type !== FRAMES.event.type && type !== FRAMES.skip.type) return show(unpack(bytes))
  const frame = readFrame(new Reader(bytes))
  return frame.name === undefined ? show(unpack(bytes)) : shownFrame(frame.name, frame)
}

const shownFrame = (name: FrameName, frame: object): string => {
  const fields = Object.entries(fieldsOf(name)).map(([key, field]) =>
    shown(field, (frame as Record<string, unknown>)[key]),
  )
  return `[${[FRAMES[name].type, ...fields].join(', ')}]`
}

const title = ({ name, note }: Example): string => (note === '' ? name : `${name}: ${note}`)

/** What the frame says, then its bytes. */
export const example = (it: Example): string => {
  const lines = it.hex.match(/.{1,96}/g) ?? []
  return ['```text', `# ${title(it)}`, `# ${shownFrame(it.name, it.frame)}`, ...lines, '```'].join(
    '\n',
  )
}

/** The bytes field by field. */
export const annotated = (it: Example): string => {
  const bytes = Buffer.from(it.hex, 'hex')
  const reader = new Reader(bytes)
  const lines: [string, string][] = []
  const take = (read: () => unknown, what: string): void => {
    const from = reader.at
    read()
    lines.push([spaced(bytes.subarray(from, reader.at)), what])
  }
  const { type, fields } = { ...FRAMES[it.name], fields: fieldsOf(it.name) }
  take(() => reader.array(), `array of ${Object.keys(fields).length + 1}`)
  take(() => reader.uint(), `type ${type}: ${it.name}`)
  for (const [key, field] of Object.entries(fields)) {
    const value = shown(field, (it.frame as Record<string, unknown>)[key])
    take(() => reader.skip(), `${key}: ${value}`)
  }
  const wide = 36
  const body = lines.flatMap(([hex, what]) => {
    const [first = '', ...rest] = hex.match(/(?:.. ?){1,12}/g)?.map((part) => part.trim()) ?? []
    return [`${first.padEnd(wide)}# ${what}`, ...rest]
  })
  return ['```text', `# ${title(it)}`, ...body, '```'].join('\n')
}

/** Those that a first client needs, the last example of each. */
const ANNOTATED: readonly FrameName[] = ['hello', 'send', 'ack', 'event']

const power = (value: number): string => {
  for (const bits of [7, 8, 16, 31, 32, 53]) {
    if (value === 2 ** bits) return `2^${bits}`
    if (Math.abs(value - 2 ** bits) <= 2 && value > 2) {
      return `2^${bits} ${value < 2 ** bits ? '−' : '+'} ${Math.abs(value - 2 ** bits)}`
    }
  }
  return String(value)
}

const LIMIT_DOCS: Record<keyof typeof LIMITS, string> = {
  messageBeforeHello: 'bytes of a WebSocket message to the server before `welcome`',
  message: 'bytes of a WebSocket message to the server after it',
  token: 'bytes of a token',
  text: 'bytes of a text, unless `welcome` says otherwise',
  name: 'bytes of a group’s name',
  members: 'members of a group, and users named in one command',
  pageEvents: 'events asked for at once',
  pointers: 'pointers in one frame',
  pipeline: 'commands of one lineage to one room that may be unsettled',
}

export const FRAME_GENERATORS: Readonly<Record<string, () => string>> = {
  frames: () =>
    table(
      ['type', 'frame', 'from', 'class', 'purpose'],
      NAMES.map((name) => {
        const { type, from, class: kind, doc } = FRAMES[name]
        return [type, `[${name}](#${name.toLowerCase()}-${type})`, from, kind, doc]
      }),
    ),
  'frame-reference': () => NAMES.map(reference).join('\n\n'),
  pointer: () => fieldTable(pointer.fields),
  'event-kinds': () =>
    table(
      ['kind', 'name', 'body', 'counts as unread', 'meaning'],
      Object.entries(EVENT_KINDS).map(([name, { number, body, counts, doc }]) => [
        number,
        `\`${name}\``,
        `\`${body}\``,
        counts ? 'yes' : 'no',
        doc,
      ]),
    ),
  limits: () =>
    table(
      ['limit', 'of what'],
      [
        ...Object.entries(LIMIT_DOCS).map(([key, doc]) => [
          LIMITS[key as keyof typeof LIMITS],
          doc,
        ]),
        [MAX_DEPTH, 'arrays inside each other, the frame included'],
      ],
    ),
  integers: () =>
    table(
      ['value', '', 'bytes'],
      INTEGERS.map(([value, hex]) => [
        value,
        power(value),
        `\`${spaced(Buffer.from(hex, 'hex'))}\``,
      ]),
    ),
  'examples-annotated': () =>
    ANNOTATED.map((name) => annotated(EXAMPLES.findLast((it) => it.name === name)!)).join('\n\n'),
  examples: () => EXAMPLES.map(example).join('\n\n'),
}
