/**
 * A server of the whole protocol, in memory and in turn with the test: API, gateway, rooms and inboxes, as plain as can
 * be. What a network does to it is asked of the test.
 */
import { ERRORS, type ErrorCode } from '../../errors.ts'
import { dmId, isDm, type RoomId, type UserId } from '../../ids.ts'
import { encodeFrame, readFrames } from '../../protocol/codec.ts'
import {
  type AnyFrame,
  type ClientFrame,
  type Frame,
  type FrameName,
  LIMITS,
  type NumberedFrame,
  type Pointer,
} from '../../protocol/frames.ts'
import { Reader } from '../../protocol/reader.ts'
import type { Fetch } from '../api.ts'
import { toBase64 } from '../command.ts'
import type { Dial, SocketEvents } from '../socket.ts'
import { type ModelEvent, ModelRoom } from './model-room.ts'

type Account = { readonly user: UserId; readonly handle: string; devices: number }

export class ModelSession {
  readonly user: UserId
  readonly events: SocketEvents
  queue = false
  alive = true

  constructor(user: UserId, events: SocketEvents) {
    this.user = user
    this.events = events
  }

  push<N extends FrameName>(name: N, frame: Frame<N>): void {
    const bytes = encodeFrame(name, frame)
    queueMicrotask(() => this.alive && this.events.message(bytes))
  }

  close(code: number): void {
    if (!this.alive) return
    this.alive = false
    queueMicrotask(() => this.events.closed(code))
  }
}

/** What a test can do to a frame of a client: give an error instead of an answer, or swallow it. */
export type Meddle = (
  frame: ClientFrame,
  session: ModelSession,
) => ErrorCode | 'swallow' | undefined

export class ModelServer {
  readonly rooms = new Map<RoomId, ModelRoom>()
  readonly accounts = new Map<string, Account>()
  readonly sessions = new Set<ModelSession>()
  /** Every frame that came, in order. */
  readonly heard: ClientFrame[] = []
  /** Newest pointers per user, by their inbox position. */
  readonly inboxes = new Map<UserId, Map<RoomId, Pointer>>()
  meddle: Meddle = () => undefined
  /** False: no live frames, as if the live path lost them all. */
  live = true
  /** False: nothing listens. */
  up = true
  /** True: commands are carried out, and their acks are lost. */
  deaf = false
  stream = 'stream1'
  page = 3
  heartbeat = 30_000
  #position = 0
  #lineage = 1000
  #tokens = 0
  readonly #access = new Map<string, UserId>()
  #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  readonly fetch: Fetch = async (url, init) => {
    if (!this.up) throw new TypeError('fetch failed')
    const { pathname, searchParams } = new URL(url)
    const body = typeof init.body === 'string' ? JSON.parse(init.body) : {}
    const json = (value: object, status = 200) => new Response(JSON.stringify(value), { status })
    const no = (error: ErrorCode, status: number) =>
      json({ error, message: ERRORS[error].text }, status)
    switch (pathname) {
      case '/v1/register':
        if (this.accounts.has(body.handle)) return no('exists', 409)
        this.account(body.handle)
        return json(this.#grant(body.handle))
      case '/v1/login':
        return this.accounts.has(body.handle)
          ? json(this.#grant(body.handle))
          : no('unauthorized', 401)
      case '/v1/refresh': {
        const handle = String(body.refreshToken).split('.')[0]!
        return this.accounts.has(handle) ? json(this.#grant(handle)) : no('unauthorized', 401)
      }
      case '/v1/logout':
        return new Response(null, { status: 204 })
      case '/v1/gateway':
        return json({ url: 'ws://one', alternatives: ['ws://two'] })
      case '/v1/users': {
        const ids = searchParams.get('ids')?.split(',') ?? []
        const users = [...this.accounts.values()].filter(({ user }) => ids.includes(user))
        return json({ users: users.map(({ user, handle }) => ({ user, handle, name: handle })) })
      }
      default: {
        const account = this.accounts.get(decodeURIComponent(pathname.slice('/v1/users/'.length)))
        if (account === undefined) return no('not_found', 404)
        return json({ user: account.user, handle: account.handle, name: account.handle })
      }
    }
  }

  account(handle: string): Account {
    const made = { user: `u${handle}` as UserId, handle, devices: 0 }
    this.accounts.set(handle, made)
    return made
  }

  #grant(handle: string): object {
    const account = this.accounts.get(handle)!
    account.devices++
    const accessToken = `access${++this.#tokens}`
    this.#access.set(accessToken, account.user)
    return {
      user: account.user,
      device: `v${handle}${account.devices}`,
      accessToken,
      accessExpires: Date.now() + 900_000,
      refreshToken: `${handle}.${this.#tokens}`,
      handle,
    }
  }

  /** No access token is good any more. */
  expire(): void {
    this.#access.clear()
  }

  readonly dial: Dial = (_url, events) => {
    let session: ModelSession | undefined
    let open = this.up
    queueMicrotask(() => (open ? events.opened() : events.closed(1006)))
    return {
      send: (bytes) => {
        for (const frame of readFrames(bytes.slice())) {
          if (!open || frame.name === undefined) continue
          this.heard.push(frame as ClientFrame)
          if (frame.name === 'hello') session = this.#hello(frame, events)
          else if (session?.alive) this.#take(session, frame as ClientFrame, bytes)
        }
      },
      close: () => {
        open = false
        if (session === undefined) return
        session.alive = false
        this.sessions.delete(session)
      },
    }
  }

  #hello(frame: Frame<'hello'>, events: SocketEvents): ModelSession | undefined {
    const resumed = frame.token.startsWith('resume:') ? frame.token.slice(7) : undefined
    const user = (resumed as UserId | undefined) ?? this.#access.get(frame.token)
    const session = new ModelSession(user ?? ('unobody' as UserId), events)
    const meddled = this.meddle({ ...frame, name: 'hello' }, session)
    if (meddled === 'swallow') return undefined
    if (user === undefined || meddled !== undefined) {
      session.push('error', errorOf(frame.req, meddled ?? 'token_expired'))
      return undefined
    }
    this.sessions.add(session)
    const { cursor, full, more, changes } = this.#changes(user, frame.cursor)
    session.push('welcome', {
      req: frame.req,
      user,
      device: 'vdevice',
      time: this.#now(),
      heartbeat: this.heartbeat,
      lineage: frame.lineage ?? ++this.#lineage,
      resume: `resume:${user}`,
      textLimit: LIMITS.text,
      ...{ cursor, full, more, changes },
    })
    return session
  }

  #take(session: ModelSession, frame: ClientFrame, bytes: Uint8Array): void {
    const meddled = this.meddle(frame, session)
    if (meddled === 'swallow') return
    if (meddled !== undefined) {
      session.push('error', errorOf(frame.req, meddled))
      return
    }
    const { req } = frame
    switch (frame.name) {
      case 'ping':
        session.push('pong', { req, time: this.#now(), cursor: this.#cursor() })
        break
      case 'sync':
        session.push('changes', { req, ...this.#changes(session.user, frame.cursor) })
        break
      case 'fetch':
        this.#fetch(session, frame)
        break
      case 'open':
        this.#open(session, frame)
        break
      case 'queue':
        session.queue = frame.on
        session.push('ok', { req })
        break
      case 'read':
      case 'queueAck':
        session.push('ok', { req })
        break
      case 'hello':
        break
      default:
        this.#command(session, frame, bytes)
    }
  }

  #command(session: ModelSession, frame: NumberedFrame, bytes: Uint8Array): void {
    let room = this.rooms.get(frame.room)
    if (room === undefined) {
      room = this.room(frame.room)
      if (isDm(frame.room) && frame.name === 'send' && frame.peer !== null) {
        room.join(session.user, 0)
        room.join(frame.peer, 0)
      }
    }
    const before = room.head
    const users = new Set(room.members.keys())
    const answer = room.decide(session.user, frame, tailOf(bytes, frame))
    if ('refused' in answer) {
      session.push('error', errorOf(frame.req, answer.refused, answer.detail))
      return
    }
    const { seq, id, time } = answer.ack
    if (!this.deaf) session.push('ack', { req: frame.req, seq, id, time })
    if (room.head > before) this.tell(room, users, session)
  }

  room(id: RoomId): ModelRoom {
    const room = new ModelRoom(id)
    this.rooms.set(id, room)
    return room
  }

  dm(one: UserId, other: UserId): ModelRoom {
    const room = this.room(dmId(one, other))
    room.join(one, 0)
    room.join(other, 0)
    return room
  }

  /** Members hear of the newest event, now and in their inbox. */
  tell(room: ModelRoom, before = new Set(room.members.keys()), but?: ModelSession): void {
    const event = room.events.at(-1)
    if (event === undefined) return
    this.#position++
    for (const user of new Set([...before, ...room.members.keys()])) {
      this.#point(user, room, event)
      for (const session of this.sessions) {
        if (session.user === user && session !== but && this.live) session.push('event', event)
      }
    }
  }

  /** Somebody else says something. */
  say(room: ModelRoom, user: UserId, text: string): ModelEvent {
    const event = room.say(user, text)
    this.tell(room)
    return event
  }

  #point(user: UserId, room: ModelRoom, event: ModelEvent): void {
    const member = room.members.get(user)
    let inbox = this.inboxes.get(user)
    if (inbox === undefined) {
      inbox = new Map()
      this.inboxes.set(user, inbox)
    }
    const other = [...room.members.keys()].find((one) => one !== user)
    inbox.set(room.id, {
      room: room.id,
      version: this.#position,
      head: event.seq,
      ord: event.ord,
      time: event.time,
      read: 0,
      readOrd: 0,
      from: 1,
      join: member?.join ?? 0,
      role: 0,
      flags: member === undefined ? 1 : 0,
      title: isDm(room.id) ? (other ?? user) : 'group',
      sender: event.sender,
      preview: null,
    })
  }

  #cursor() {
    return { stream: this.stream, position: this.#position }
  }

  /** Pages in the way of a real one: newest first, and the cursor in between says where it is. */
  #changes(user: UserId, cursor: Frame<'sync'>['cursor']) {
    const [stream, below] = cursor?.stream.split('.') ?? []
    const known = stream === this.stream
    const since = known && cursor !== null ? cursor.position : 0
    const all = [...(this.inboxes.get(user)?.values() ?? [])]
      .filter(({ version }) => version > since && version < Number(below ?? Infinity))
      .sort((a, b) => b.version - a.version)
    const changes = all.slice(0, this.page)
    const more = all.length > changes.length
    const next = more
      ? { stream: `${this.stream}.${changes.at(-1)!.version}`, position: since }
      : this.#cursor()
    return { cursor: next, full: since === 0, more, changes }
  }

  /** Pushes what the inbox has of these rooms. */
  pushPointers(user: UserId): void {
    const changes = [...(this.inboxes.get(user)?.values() ?? [])]
    for (const session of this.sessions) {
      if (session.user !== user) continue
      session.push('changes', { req: 0, cursor: this.#cursor(), full: false, more: false, changes })
    }
  }

  #fetch(session: ModelSession, { req, room: id, from, limit, back }: Frame<'fetch'>): void {
    const room = this.rooms.get(id)
    if (room === undefined || !room.members.has(session.user)) {
      session.push('error', errorOf(req, 'not_member'))
      return
    }
    session.push('page', { req, room: id, ...room.page(from, limit, back) })
  }

  #open(session: ModelSession, { req, room: id, peer }: Frame<'open'>): void {
    const room = this.rooms.get(id)
    const member = room?.members.get(session.user)
    if (member === undefined && (peer === null || dmId(session.user, peer) !== id)) {
      session.push('error', errorOf(req, 'not_member'))
      return
    }
    const members = [...(room?.members.keys() ?? [])].map((user) => ({ user, role: 0, read: 0 }))
    session.push('info', {
      ...{ req, room: id, head: room?.head ?? 0, ord: room?.events.at(-1)?.ord ?? 0, from: 1 },
      ...{
        join: member?.join ?? 0,
        lastN: 0,
        role: 0,
        title: 'group',
        openHistory: false,
        members,
      },
    })
  }

  /** All connections break. */
  cut(code = 1006): void {
    for (const session of this.sessions) session.close(code)
    this.sessions.clear()
  }
}

const errorOf = (req: number, code: ErrorCode, detail = ''): Frame<'error'> => ({
  req,
  code: ERRORS[code].number,
  temporary: ERRORS[code].temporary,
  retryAfter: 0,
  detail,
})

/** The bytes of `frame` in a message, without its request number. */
const tailOf = (message: Uint8Array, frame: AnyFrame & { req: number }): string => {
  const reader = new Reader(message)
  while (!reader.done) {
    const start = reader.at
    reader.skip()
    const whole = new Reader(message.subarray(start, reader.at))
    whole.array()
    whole.uint()
    if (whole.uint() === frame.req) return toBase64(message.subarray(start + whole.at, reader.at))
  }
  throw new Error('the frame is not in its message')
}
