/**
 * Protocol 1: every frame as data. A frame is a MessagePack array `[type, …fields]` in the order given here.
 * Types and fields are only ever appended; a shipped number is never reused. docs/PROTOCOL.md is made from this.
 *
 * `class` says what may happen under pressure: a `reply` or a `durable` push is never dropped (an outbox that would
 * have to closes the session as resumable), a `droppable` one may be.
 */
import {
  bool,
  type Field,
  type Fields,
  id64,
  list,
  nullable,
  raw,
  record,
  room,
  str,
  uint,
  user,
} from './fields.ts'
import { NAME_BYTES, POINTER } from './pointer.ts'

export const VERSION = 1

/** Bytes of a WebSocket message before and after authentication (contracts W1), of a token and of a text. */
export const LIMITS = {
  messageBeforeHello: 4096,
  message: 65536,
  token: 2048,
  text: 8192,
  name: NAME_BYTES,
  members: 256,
  pageEvents: 256,
  pointers: 256,
  /** Commands of one lineage to one room that may be unsettled at once (contracts N1). */
  pipeline: 32,
} as const

const req = uint('Request number, chosen by the client; the reply echoes it', 0xffffffff)
const cursor = nullable(
  record('Position in the inbox', {
    stream: str('Incarnation of the stream, opaque', 64),
    position: uint('Sequence in the stream'),
  }),
)

/** Who sent which command, so that a resend is recognised however late (contracts N1). */
const numbered = {
  req,
  room: room('The room'),
  lineage: uint('The outbox that numbers this command, as given by `welcome`'),
  join: uint(
    'Sequence of the sender’s join: of the pointer or `info`; 0 in a dm and for a group’s creator',
  ),
  n: uint('Number of this command to this room in this lineage: 1, 2, 3 …'),
  low: uint('The lowest number that is not settled yet'),
}

type Spec = {
  type: number
  from: 'client' | 'server'
  class: 'request' | 'reply' | 'durable' | 'droppable'
  doc: string
  fields: Record<string, Field<unknown>>
}

export const FRAMES = {
  hello: {
    type: 1,
    from: 'client',
    class: 'request',
    doc: 'First frame of a connection, within 5 s.',
    fields: {
      req,
      version: uint('Protocol version, 1', 255),
      token: str(
        'Access token (JWT) of the API, or the resume token of an earlier `welcome`',
        LIMITS.token,
      ),
      cursor,
      lineage: nullable(
        uint('The lineage of this device’s outbox; nil when it has none and wants one'),
      ),
    },
  },
  welcome: {
    type: 2,
    from: 'server',
    class: 'reply',
    doc: 'The session is open. `changes` are newest first; with `more`, go on with `sync`.',
    fields: {
      req,
      user: user('Who you are'),
      device: str('Which of their devices you are', 32),
      time: uint('Server time, ms'),
      heartbeat: uint('Send a `ping` at least this often, ms'),
      lineage: uint('The lineage for this device’s outbox'),
      resume: str('Token for a cheap reconnect', LIMITS.token),
      textLimit: uint('Largest text, bytes'),
      cursor,
      full: bool('The changes are the whole list: forget rooms that are not in it'),
      more: bool('There are more changes; ask with `sync` and `cursor`'),
      changes: list('What changed since the cursor', POINTER, LIMITS.pointers),
    },
  },
  ping: {
    type: 3,
    from: 'client',
    class: 'request',
    doc: 'Keeps the session; answered by `pong`.',
    fields: { req },
  },
  pong: {
    type: 4,
    from: 'server',
    class: 'reply',
    doc: 'When `cursor` is past what the device has, something was lost on the live path: `sync`.',
    fields: { req, time: uint('Server time, ms'), cursor },
  },
  error: {
    type: 5,
    from: 'server',
    class: 'reply',
    doc: 'The request was refused; with req 0 it says why the session is about to close.',
    fields: {
      req,
      code: uint('See the table of errors', 0xffff),
      temporary: bool('The same request may succeed later'),
      retryAfter: uint('Wait this long before, ms'),
      detail: str('For people; for `out_of_order` the decimal number to send next', 512),
    },
  },
  goaway: {
    type: 6,
    from: 'server',
    class: 'durable',
    doc: 'The gateway drains: finish, then connect again (elsewhere).',
    fields: { retryAfter: uint('Wait about this long, with jitter, ms') },
  },
  ok: { type: 7, from: 'server', class: 'reply', doc: 'Done.', fields: { req } },
  create: {
    type: 10,
    from: 'client',
    class: 'request',
    doc: 'Makes a group; its id is made by the client, this is its command 1 (n = 1, join 0), so a retry makes no second one.',
    fields: {
      ...numbered,
      title: str('Name of the group', LIMITS.name),
      openHistory: bool('Members added later may read from the start'),
      members: list('Users to add, without yourself', user('A user'), LIMITS.members),
    },
  },
  add: {
    type: 11,
    from: 'client',
    class: 'request',
    doc: 'Adds users to a group; admins and owners.',
    fields: { ...numbered, users: list('Whom', user('A user'), LIMITS.members) },
  },
  remove: {
    type: 12,
    from: 'client',
    class: 'request',
    doc: 'Removes a user from a group; admins (members only) and owners.',
    fields: { ...numbered, user: user('Whom') },
  },
  leave: {
    type: 13,
    from: 'client',
    class: 'request',
    doc: 'Leaves a group.',
    fields: { ...numbered },
  },
  role: {
    type: 14,
    from: 'client',
    class: 'request',
    doc: 'Changes a role; owners.',
    fields: { ...numbered, user: user('Whose'), role: uint('0 member, 1 admin, 2 owner', 2) },
  },
  send: {
    type: 20,
    from: 'client',
    class: 'request',
    doc: 'Sends a message. The first one to a user makes the dm, so it names them in `peer`.',
    fields: {
      ...numbered,
      text: str('The text', LIMITS.message),
      peer: nullable(user('The other side of a dm; nil in a group')),
    },
  },
  ack: {
    type: 21,
    from: 'server',
    class: 'reply',
    doc: 'The command is committed: it is in the log and never lost. A resend gets the same ack.',
    fields: {
      req,
      seq: uint('Its sequence in the room'),
      id: id64('Its message id'),
      time: uint('Its time, ms'),
    },
  },
  event: {
    type: 22,
    from: 'server',
    class: 'durable',
    doc: 'A durable fact of a room. seq is dense: a hole means a lost frame, `fetch` it. Drop what you have.',
    fields: {
      room: room('The room'),
      seq: uint('1, 2, 3 …'),
      ord: uint('How many unread-worthy events there are up to this one'),
      id: id64('Message id'),
      time: uint('ms since 1970, never falls within a room'),
      sender: user('Who did it'),
      kind: uint('See the table of events', 255),
      body: raw('Array by kind'),
    },
  },
  skip: {
    type: 23,
    from: 'server',
    class: 'durable',
    doc: 'Stands for events that are not shown to you, so that numbering stays dense.',
    fields: {
      room: room('The room'),
      first: uint('First hidden sequence'),
      last: uint('Last hidden sequence'),
    },
  },
  mark: {
    type: 24,
    from: 'server',
    class: 'droppable',
    doc: 'Somebody’s position in a room moved; the last one wins.',
    fields: {
      room: room('The room'),
      user: user('Whose'),
      kind: uint('1 read', 255),
      seq: uint('Up to here'),
      ord: uint('`ord` there'),
    },
  },
  fetch: {
    type: 30,
    from: 'client',
    class: 'request',
    doc: 'Reads history: `limit` events upwards from `from`, or downwards with `back` (0 = from the head). Answered by `page`.',
    fields: {
      req,
      room: room('The room'),
      from: uint('First (or with `back`, last) sequence wanted'),
      limit: uint('At most this many', LIMITS.pageEvents),
      back: bool('Downwards'),
    },
  },
  page: {
    type: 31,
    from: 'server',
    class: 'reply',
    doc: 'A dense run of events, ascending, as whole `event` and `skip` frames; empty when nothing is there.',
    fields: {
      req,
      room: room('The room'),
      head: uint('Newest sequence that you may see'),
      first: uint('First sequence that you may see'),
      events: list('`event` and `skip` frames', raw('A frame'), LIMITS.pageEvents),
    },
  },
  sync: {
    type: 32,
    from: 'client',
    class: 'request',
    doc: 'Asks what changed since a cursor; nil asks for all rooms. Answered by `changes`.',
    fields: { req, cursor },
  },
  changes: {
    type: 33,
    from: 'server',
    class: 'durable',
    doc: 'Answer to `sync`, or (req 0) a push of pointers. Newest first; with `more`, ask again with `cursor`.',
    fields: {
      req,
      cursor,
      full: bool('The changes belong to a whole list'),
      more: bool('There are more'),
      changes: list('Pointers', POINTER, LIMITS.pointers),
    },
  },
  queue: {
    type: 34,
    from: 'client',
    class: 'request',
    doc: 'Asks for a durable queue: the server keeps this device’s place. Answered by `ok`, then `queued` pushes.',
    fields: { req, on: bool('False gives the queue up') },
  },
  queued: {
    type: 35,
    from: 'server',
    class: 'durable',
    doc: 'The next entry of the durable queue, with its events. A gap in `n`, or `reset`, means: `sync` from your cursor.',
    fields: {
      n: uint('1, 2, 3 … per device; drop numbers up to the highest seen'),
      stamp: uint('Inbox position: with this entry everything up to it was told; it never falls'),
      reset: bool('Entries were purged'),
      pointer: nullable(POINTER),
      events: list('`event` and `skip` frames', raw('A frame'), LIMITS.pageEvents),
    },
  },
  queueAck: {
    type: 36,
    from: 'client',
    class: 'request',
    doc: 'Entries up to `n` are safe with the device.',
    fields: { req, n: uint('Up to here') },
  },
  read: {
    type: 40,
    from: 'client',
    class: 'request',
    doc: 'Moves the own read position, which only rises. Answered by `ok`; other devices see it in the pointer.',
    fields: {
      req,
      room: room('The room'),
      seq: uint('Read up to here'),
      ord: uint('`ord` of that event'),
    },
  },
  open: {
    type: 41,
    from: 'client',
    class: 'request',
    doc: 'Asks what a room is. Answered by `info`. For a dm that may not exist yet, name the `peer`.',
    fields: {
      req,
      room: room('The room'),
      peer: nullable(user('The other side of a dm')),
      lineage: nullable(uint('Your lineage, to learn its last number')),
    },
  },
  info: {
    type: 42,
    from: 'server',
    class: 'reply',
    doc: 'What a room is, for you.',
    fields: {
      req,
      room: room('The room'),
      head: uint('Newest sequence that you may see; 0 when there is nothing yet'),
      ord: uint('`ord` there'),
      from: uint('First sequence that you may see'),
      join: uint('Sequence of your join, for numbered commands'),
      lastN: uint('Last number decided in your lineage; 0 when it is new here'),
      role: uint('Yours', 2),
      title: str('Name of a group', LIMITS.name),
      openHistory: bool('New members may read from the start'),
      members: list(
        'Members',
        record('A member', {
          user: user('Who'),
          role: uint('Role', 2),
          read: uint('Read up to here'),
        }),
        LIMITS.members,
      ),
    },
  },
} as const satisfies Record<string, Spec>

export type FrameName = keyof typeof FRAMES
export type Frame<N extends FrameName> = Fields<(typeof FRAMES)[N]['fields']>
/** A decoded frame of any kind: its name and its fields. */
export type AnyFrame = { [N in FrameName]: { readonly name: N } & Frame<N> }[FrameName]
export type ClientFrame = {
  [N in FrameName]: (typeof FRAMES)[N]['from'] extends 'client'
    ? { readonly name: N } & Frame<N>
    : never
}[FrameName]
export type ServerFrame = Exclude<AnyFrame, ClientFrame>
export type Pointer = Frame<'changes'>['changes'][number]
export type Cursor = NonNullable<Frame<'sync'>['cursor']>
/** Commands that a lineage numbers (contracts N). */
export type NumberedFrame = Extract<ClientFrame, { n: number; lineage: number }>
