/**
 * A server in memory that speaks as much of the protocol as the generator uses, and breaks a promise on request: the
 * generator is tested against it. It checks nothing.
 */
import {
  App,
  DISABLED,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
  type WebSocket,
} from 'uWebSockets.js'
import { dmId, type RoomId, type UserId } from '../../lib/ids.ts'
import { encodeFrame, readFrames } from '../../lib/protocol/codec.ts'
import type { ClientFrame, Frame, FrameName } from '../../lib/protocol/frames.ts'
import { Writer } from '../../lib/protocol/writer.ts'

export type Fault =
  /** Acked, and nowhere. */
  | 'lose'
  /** In the room twice, with one id or with two. */
  | 'double'
  | 'double-id'
  /** One device gets the id of another message. */
  | 'swap'
  /** Another text than was sent. */
  | 'garble'
  /** The ack names the sequence of another message. */
  | 'misack'
  /** Time goes back. */
  | 'backwards'
  /** Nothing wrong: not live, only in the history. */
  | 'drop'
  /** Nothing wrong: delivered again. */
  | 'repeat'
  /** Nothing wrong: refused for now, once. */
  | 'refuse'
  /** The session ends after the commit, before the ack. */
  | 'hang-up'

type Session = { user: UserId | undefined }
type Socket = WebSocket<Session>
type Room = {
  readonly members: Set<UserId>
  readonly events: Uint8Array[]
  readonly acks: Map<string, { seq: number; id: bigint }>
  readonly lastN: Map<number, number>
  head: number
}

const MESSAGE = 1
const ERROR = { outOfOrder: 32, overloaded: 40 }

export class FakeGateway {
  readonly #sockets = new Map<UserId, Socket>()
  readonly #rooms = new Map<RoomId, Room>()
  readonly #fault: Fault | undefined
  #listening: us_listen_socket | undefined
  readonly #app = App()
  #ids = 1n << 33n
  #lineages = 1000
  #sends = 0
  #due: Fault | undefined
  port = 0

  /** The fault happens once, at the 20th message, or as often as it does no harm. */
  constructor(fault?: Fault) {
    this.#fault = fault
  }

  start(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#app.ws<Session>('/*', {
      compression: DISABLED,
      upgrade: (res, req, context) =>
        res.upgrade({ user: undefined }, req.getHeader('sec-websocket-key'), '', '', context),
      message: (socket, message) => {
        // Copied: some of it is kept.
        for (const frame of readFrames(new Uint8Array(message.slice(0)))) {
          if (frame.name !== undefined) this.#obey(socket, frame as ClientFrame)
        }
      },
      close: (socket) => {
        const { user } = socket.getUserData()
        if (user !== undefined && this.#sockets.get(user) === socket) this.#sockets.delete(user)
      },
    })
    this.#app.listen('127.0.0.1', 0, (listening) => {
      if (listening === false) return reject(new Error('no port'))
      this.#listening = listening
      this.port = us_socket_local_port(listening)
      resolve()
    })
    return promise
  }

  stop(): void {
    if (this.#listening !== undefined) us_listen_socket_close(this.#listening)
    this.#app.close()
  }

  #obey(socket: Socket, frame: ClientFrame): void {
    switch (frame.name) {
      case 'hello':
        this.#hello(socket, frame)
        break
      case 'ping':
        reply(socket, 'pong', { req: frame.req, time: Date.now(), cursor: null })
        break
      case 'send':
        this.#send(socket, frame)
        break
      case 'create':
        this.#create(socket, frame)
        break
      case 'open':
        this.#open(socket, frame)
        break
      case 'fetch':
        this.#fetch(socket, frame)
        break
      default:
        throw new Error(`not made for ${frame.name}`)
    }
  }

  #create(socket: Socket, { req, room: id, lineage, members }: Frame<'create'>): void {
    const room = this.#room(id)
    const user = socket.getUserData().user!
    for (const member of [user, ...members]) room.members.add(member)
    const made = this.#commit(id, user, 0, new Writer().array(0).take(), user)
    room.lastN.set(lineage, 1)
    reply(socket, 'ack', { req, ...made, time: Date.now() })
  }

  #open(socket: Socket, { req, room }: Frame<'open'>): void {
    const { head } = this.#room(room)
    const place = { head, ord: head, from: 1, join: 1, lastN: 0 }
    const group = { role: 0, title: '', openHistory: true, members: [] }
    reply(socket, 'info', { req, room, ...place, ...group })
  }

  #fetch(socket: Socket, { req, room, from, limit }: Frame<'fetch'>): void {
    const { events, head } = this.#room(room)
    const page = events.slice(from - 1, from - 1 + limit).filter((event) => event !== undefined)
    reply(socket, 'page', { req, room, head, first: 1, events: page })
  }

  #hello(socket: Socket, frame: Frame<'hello'>): void {
    const user = frame.token as UserId
    socket.getUserData().user = user
    this.#sockets.set(user, socket)
    reply(socket, 'welcome', {
      req: frame.req,
      user,
      device: 'v1',
      time: Date.now(),
      heartbeat: 30_000,
      lineage: frame.lineage ?? ++this.#lineages,
      resume: frame.token,
      textLimit: 8192,
      cursor: null,
      full: false,
      more: false,
      changes: [],
    })
  }

  #room(id: RoomId): Room {
    let room = this.#rooms.get(id)
    if (room === undefined) {
      room = { members: new Set(), events: [], acks: new Map(), lastN: new Map(), head: 0 }
      this.#rooms.set(id, room)
    }
    return room
  }

  #send(socket: Socket, frame: Frame<'send'>): void {
    const { req, n, lineage } = frame
    const room = this.#room(frame.room)
    const known = room.acks.get(`${lineage} ${n}`)
    const next = (room.lastN.get(lineage) ?? 0) + 1
    const later = { req, temporary: true, retryAfter: 5 }
    if (known !== undefined) reply(socket, 'ack', { req, ...known, time: Date.now() })
    else if (n !== next) {
      reply(socket, 'error', { ...later, code: ERROR.outOfOrder, detail: String(next) })
    } else if (this.#now() !== 'refuse') this.#accept(socket, frame, room)
    else reply(socket, 'error', { ...later, code: ERROR.overloaded, detail: '' })
  }

  /** The fault that is due with this message. */
  #now(): Fault | undefined {
    const at = ++this.#sends
    const again = at > 20 && at % 7 === 0 && isHarmless(this.#fault)
    this.#due = at === 20 || again ? this.#fault : undefined
    return this.#due
  }

  #accept(socket: Socket, frame: Frame<'send'>, room: Room): void {
    const user = socket.getUserData().user!
    const { req, n, lineage } = frame
    const fault = this.#due
    if (frame.peer !== null && room.head === 0) {
      if (dmId(user, frame.peer) !== frame.room) throw new Error('not the room of these two')
      for (const member of [user, frame.peer]) room.members.add(member)
      this.#commit(frame.room, user, 0, new Writer().array(0).take(), undefined)
    }
    room.lastN.set(lineage, n)
    const text = fault === 'garble' ? `${frame.text.slice(0, -1)}?` : frame.text
    const body = new Writer().array(1).str(text).take()
    const { seq, id } = this.#commit(frame.room, user, MESSAGE, body, user, fault)
    if (fault === 'double' || fault === 'double-id') {
      this.#commit(
        frame.room,
        user,
        MESSAGE,
        body,
        undefined,
        undefined,
        fault === 'double' ? id : undefined,
      )
    }
    room.acks.set(`${lineage} ${n}`, { seq, id })
    if (fault === 'hang-up') socket.close()
    else
      reply(socket, 'ack', { req, seq: fault === 'misack' ? seq - 1 : seq, id, time: Date.now() })
  }

  #commit(
    id: RoomId,
    sender: UserId,
    kind: number,
    body: Uint8Array,
    except: UserId | undefined,
    fault?: Fault,
    messageId = ++this.#ids,
  ): { seq: number; id: bigint } {
    const room = this.#room(id)
    const seq = ++room.head
    const time = fault === 'backwards' ? 1000 : Date.now()
    const event = { room: id, seq, ord: seq, id: messageId, time, sender, kind, body }
    if (fault === 'lose') return { seq, id: messageId }
    room.events[seq - 1] = encodeFrame('event', event)
    let others = 0
    for (const member of room.members) {
      const socket = this.#sockets.get(member)
      if (member === except || socket === undefined || fault === 'drop') continue
      const swapped = fault === 'swap' && ++others === 1
      for (let times = fault === 'repeat' ? 2 : 1; times > 0; times--) {
        reply(socket, 'event', swapped ? { ...event, id: 1n << 33n } : event)
      }
    }
    return { seq, id: messageId }
  }
}

const isHarmless = (fault: Fault | undefined): boolean =>
  fault === 'drop' || fault === 'repeat' || fault === 'refuse'

const reply = <N extends FrameName>(socket: Socket, name: N, frame: Frame<N>): void => {
  socket.send(encodeFrame(name, frame), true)
}
