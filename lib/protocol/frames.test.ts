import t from 'tap'
import { FRAME_NAMES, fieldsOf } from '../testing/frames.ts'
import { EVENT_KINDS } from './events.ts'
import type { Wire } from './fields.ts'
import { FRAMES, LIMITS, VERSION } from './frames.ts'
import { POINTER } from './pointer.ts'

/** Numbers and places that clients in the field know: entries are added, never changed. */
const SHIPPED: {
  readonly frames: Readonly<
    Record<string, { readonly type: number; readonly fields: readonly string[] }>
  >
  readonly pointer: readonly string[]
  readonly events: Readonly<Record<string, number>>
} = {
  frames: {
    hello: { type: 1, fields: ['req', 'version', 'token', 'cursor', 'lineage'] },
    welcome: {
      type: 2,
      fields: [
        'req',
        'user',
        'device',
        'time',
        'heartbeat',
        'lineage',
        'resume',
        'textLimit',
        'cursor',
        'full',
        'more',
        'changes',
      ],
    },
    ping: { type: 3, fields: ['req'] },
    pong: { type: 4, fields: ['req', 'time', 'cursor'] },
    error: { type: 5, fields: ['req', 'code', 'temporary', 'retryAfter', 'detail'] },
    goaway: { type: 6, fields: ['retryAfter'] },
    ok: { type: 7, fields: ['req'] },
    create: {
      type: 10,
      fields: ['req', 'room', 'lineage', 'join', 'n', 'low', 'title', 'openHistory', 'members'],
    },
    add: { type: 11, fields: ['req', 'room', 'lineage', 'join', 'n', 'low', 'users'] },
    remove: { type: 12, fields: ['req', 'room', 'lineage', 'join', 'n', 'low', 'user'] },
    leave: { type: 13, fields: ['req', 'room', 'lineage', 'join', 'n', 'low'] },
    role: { type: 14, fields: ['req', 'room', 'lineage', 'join', 'n', 'low', 'user', 'role'] },
    send: { type: 20, fields: ['req', 'room', 'lineage', 'join', 'n', 'low', 'text', 'peer'] },
    ack: { type: 21, fields: ['req', 'seq', 'id', 'time'] },
    event: { type: 22, fields: ['room', 'seq', 'ord', 'id', 'time', 'sender', 'kind', 'body'] },
    skip: { type: 23, fields: ['room', 'first', 'last'] },
    mark: { type: 24, fields: ['room', 'user', 'kind', 'seq', 'ord'] },
    fetch: { type: 30, fields: ['req', 'room', 'from', 'limit', 'back'] },
    page: { type: 31, fields: ['req', 'room', 'head', 'first', 'events'] },
    sync: { type: 32, fields: ['req', 'cursor'] },
    changes: { type: 33, fields: ['req', 'cursor', 'full', 'more', 'changes'] },
    queue: { type: 34, fields: ['req', 'on'] },
    queued: { type: 35, fields: ['n', 'stamp', 'reset', 'pointer', 'events'] },
    queueAck: { type: 36, fields: ['req', 'n'] },
    read: { type: 40, fields: ['req', 'room', 'seq', 'ord'] },
    open: { type: 41, fields: ['req', 'room', 'peer', 'lineage'] },
    info: {
      type: 42,
      fields: [
        'req',
        'room',
        'head',
        'ord',
        'from',
        'join',
        'lastN',
        'role',
        'title',
        'openHistory',
        'members',
      ],
    },
  },
  pointer: [
    'room',
    'version',
    'head',
    'ord',
    'time',
    'read',
    'readOrd',
    'from',
    'join',
    'role',
    'flags',
    'title',
    'sender',
    'preview',
  ],
  events: { created: 0, message: 1, added: 2, removed: 3, left: 4, role: 5 },
}

t.test('types and event kinds are unique', async (t) => {
  const types = FRAME_NAMES.map((name) => FRAMES[name].type)
  t.equal(new Set(types).size, types.length)
  const kinds = Object.values(EVENT_KINDS).map((kind) => kind.number)
  t.equal(new Set(kinds).size, kinds.length)
  for (const type of types) t.ok(type > 0 && type < 0x80, 'one byte, so that a head is two')
})

t.test('what was shipped stays: types, and fields in their order', async (t) => {
  t.equal(VERSION, 1)
  for (const [name, shipped] of Object.entries(SHIPPED.frames)) {
    const spec = FRAMES[name as keyof typeof FRAMES]
    t.equal(spec?.type, shipped.type, name)
    const keys = Object.keys(spec.fields).slice(0, shipped.fields.length)
    t.strictSame(keys, shipped.fields, `fields of ${name}`)
  }
  t.strictSame(
    Object.keys((POINTER as unknown as { fields: object }).fields).slice(0, SHIPPED.pointer.length),
    SHIPPED.pointer,
    'fields of a pointer',
  )
  for (const [kind, number] of Object.entries(SHIPPED.events)) {
    t.equal(EVENT_KINDS[kind as keyof typeof EVENT_KINDS]?.number, number, kind)
  }
})

t.test('requests carry a number, replies echo it, pushes carry none', async (t) => {
  for (const name of FRAME_NAMES) {
    const spec = FRAMES[name]
    const first = Object.keys(spec.fields)[0]
    if (spec.class === 'request' || spec.class === 'reply') t.equal(first, 'req', name)
    t.equal(spec.from, spec.class === 'request' ? 'client' : 'server', name)
    if (spec.class === 'droppable') t.not(first, 'req', name)
  }
})

t.test('N1 every numbered command says lineage, join, n and low in the same places', async (t) => {
  const numbered = FRAME_NAMES.filter(
    (name) => 'lineage' in FRAMES[name].fields && 'n' in FRAMES[name].fields,
  )
  t.strictSame(numbered, ['create', 'add', 'remove', 'leave', 'role', 'send'])
  for (const name of numbered) {
    t.strictSame(
      Object.keys(FRAMES[name].fields).slice(0, 6),
      ['req', 'room', 'lineage', 'join', 'n', 'low'],
      name,
    )
  }
})

t.test('W1 every frame of a client fits in a message', async (t) => {
  /** The most bytes that a field may take. */
  const most = (field: Wire): number => {
    switch (field.wire) {
      case 'uint':
      case 'id64':
        return 9
      case 'bool':
        return 1
      case 'str':
        return field.max + 5
      case 'room':
      case 'user':
        return 34
      case 'raw':
        return Number.POSITIVE_INFINITY
      case 'nullable':
        return most(field.inner)
      case 'list':
        return 5 + field.max * most(field.inner)
      case 'record':
        return 5 + Object.values(field.fields).reduce((sum, inner) => sum + most(inner), 0)
    }
  }
  const size = (name: (typeof FRAME_NAMES)[number]) =>
    most({ wire: 'record', fields: fieldsOf(name) }) + 2
  t.ok(size('hello') <= LIMITS.messageBeforeHello, 'a hello before authentication')
  for (const name of FRAME_NAMES) {
    // A text is bounded by what `welcome` says, below the bound of its field.
    if (FRAMES[name].from === 'client' && name !== 'send') {
      t.ok(size(name) <= LIMITS.message, `${name}: ${size(name)}`)
    }
  }
  t.ok(size('send') - (LIMITS.message - LIMITS.text) <= LIMITS.message, 'send of the largest text')
  t.ok(size('info') <= LIMITS.message, 'and the largest room info')
})

t.test('every field and frame is explained', async (t) => {
  const docs = (field: Wire & { description?: string }, path: string): void => {
    t.ok((field.description ?? '').length > 2, path)
    if (field.wire === 'record') {
      for (const [key, inner] of Object.entries(field.fields)) docs(inner, `${path}.${key}`)
    }
    if (field.wire === 'list') docs(field.inner, `${path}[]`)
  }
  for (const name of FRAME_NAMES) {
    t.ok(FRAMES[name].doc.length > 4, name)
    for (const [key, field] of Object.entries(fieldsOf(name))) docs(field, `${name}.${key}`)
  }
})
