/**
 * One user's device under load: sends by its lanes, keeps its place in its rooms, heals holes as a client must
 * (PROTOCOL: numbering, pong cursors, `sync`, `fetch`), and with `resilient` connects again and resends.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { SeededUser } from '../../lib/api/seed.ts'
import { ERRORS, errorByNumber, ParleyError } from '../../lib/errors.ts'
import type { RoomId } from '../../lib/ids.ts'
import {
  type AnyFrame,
  type Cursor,
  type Frame,
  type FrameName,
  LIMITS,
} from '../../lib/protocol/frames.ts'
import { nowUs } from './clock.ts'
import { Connection, type Listener, outgoing } from './connection.ts'
import { Inbound, type SeenEvent } from './inbound.ts'
import type { Lane } from './lane.ts'
import type { Load } from './load.ts'
import { Requests } from './requests.ts'
import type { RoomView } from './room-view.ts'
import { FIRST_REQ } from './send-frame.ts'

const ASK_MS = 30_000
/** A hole may close by itself: frames of two ways can pass each other. */
const GRACE_MS = 30
const BACKOFF_MS = 50
const MOST_BACKOFF_MS = 1_000
const RETRY_MS = 10

type Asked = { resolve: (frame: AnyFrame) => void; reject: (error: Error) => void }
/** Request numbers of questions; 1 is the connection's own. */
const FIRST_QUESTION = 2

export class Device implements Listener {
  readonly user: SeededUser
  readonly lanes: Lane[] = []
  readonly views: RoomView[] = []
  lineage: number | null = null
  cursor: Cursor | null = null
  connections = 0
  readonly #load: Load
  readonly #source: string | undefined
  readonly #byRoom = new Map<string, RoomView>()
  readonly #asked = new Map<number, Asked>()
  readonly #pages = new Inbound({
    ack: () => {},
    event: (event) => this.event(event),
    other: (frame) => this.other(frame),
    control: () => {},
  })
  #requests = new Requests(1)
  #connection: Connection | undefined
  #question = FIRST_QUESTION
  #stalled = false
  #wanted = true

  constructor(load: Load, user: SeededUser, source: string | undefined) {
    this.#load = load
    this.user = user
    this.#source = source
  }

  get isOpen(): boolean {
    return this.#connection?.isOpen === true
  }

  join(view: RoomView): void {
    this.views.push(view)
    this.#byRoom.set(view.room, view)
  }

  async open(): Promise<void> {
    const { user, cursor, lineage } = this
    // The access token may have expired since it was minted; a resume token costs the server less.
    const token = this.connections === 0 ? user.accessToken : user.resumeToken
    this.#connection = new Connection(this.#load.plan.address, { token, cursor, lineage }, this, {
      source: this.#source,
      withinMs: this.#load.plan.resilient ? 10_000 : 60_000,
    })
    await this.#connection.welcome
  }

  opened(welcome: Frame<'welcome'>): void {
    this.connections++
    if (welcome.user !== this.user.user) this.#load.problem(`welcome to ${welcome.user}`)
    this.lineage = welcome.lineage
    this.#requests = new Requests(this.lanes.length)
    this.#changed(welcome)
    for (const lane of this.lanes) {
      for (const n of lane.again(true)) this.#transmit(lane, n)
    }
  }

  /** Sends a message that was due at `dueUs`: now, or when the lane is free. */
  submit(lane: Lane, dueUs: number): void {
    if (lane.canSend && lane.waiting === 0 && this.isOpen) this.#begin(lane, dueUs)
    else lane.wait(dueUs)
  }

  #begin(lane: Lane, dueUs: number): void {
    this.#load.started(dueUs)
    this.#transmit(lane, lane.begin(dueUs))
  }

  #transmit(lane: Lane, n: number): void {
    const connection = this.#connection!
    const req = this.#requests.add(lane, n)
    const into = connection.lend(lane.frame.most)
    outgoing.advance(lane.write(into, outgoing.at, req, n))
  }

  /** Fills the lane's window: what waits first, then, in a closed loop, new ones. */
  pump(lane: Lane): void {
    while (lane.canSend && this.isOpen) {
      const due = lane.nextDue() ?? (this.#load.closedLoop ? nowUs() : undefined)
      if (due === undefined) return
      this.#begin(lane, due)
    }
  }

  /** Asks and waits for the reply. Rejects with a ParleyError on an error frame, on the end of the connection and after 30 s. */
  async ask<N extends FrameName>(name: N, fields: Omit<Frame<N>, 'req'>): Promise<AnyFrame> {
    const connection = this.#connection
    if (connection?.isOpen !== true) throw new Error('not connected')
    const req = this.#question++
    if (this.#question === FIRST_REQ) this.#question = FIRST_QUESTION
    const { promise, resolve, reject } = Promise.withResolvers<AnyFrame>()
    this.#asked.set(req, { resolve, reject })
    const timer = setTimeout(() => reject(new Error(`no answer to ${name}`)), ASK_MS)
    try {
      connection.send(name, { ...fields, req } as Frame<N>)
      outgoing.flush()
      const frame = await promise
      if (frame.name !== 'error') return frame
      const { code, detail, retryAfter: retryAfterMs } = frame
      throw new ParleyError(errorByNumber(code), { detail: `${name}: ${detail}`, retryAfterMs })
    } finally {
      clearTimeout(timer)
      this.#asked.delete(req)
    }
  }

  ack(req: number, seq: number, high: number, low: number): void {
    const lane = this.#requests.find(req)
    if (lane === undefined) {
      this.#answered(req, {
        name: 'ack',
        req,
        seq,
        id: (BigInt(high) << 32n) | BigInt(low),
        time: 0,
      })
      return
    }
    const { n } = this.#requests
    lane.check.ackedParts(n, seq, high, low)
    const due = lane.dueOf(n)
    if (!lane.settle(n)) return
    const { view } = lane
    view.advance(seq)
    if (view.behind) this.#heal(view)
    this.#load.acked(due)
    this.pump(lane)
  }

  event(event: SeenEvent): void {
    const view = this.#viewOf(event)
    if (view === undefined) return
    const fresh = this.#load.saw(view, event)
    if (fresh) view.reader.time(event.seq, event.time)
    view.advance(event.seq)
    if (view.behind) this.#heal(view)
  }

  #viewOf(event: SeenEvent): RoomView | undefined {
    const { bytes, roomAt, roomEnd } = event
    const only = this.views[0]
    if (this.views.length === 1 && only!.is(bytes, roomAt, roomEnd)) return only
    const room = Buffer.from(bytes.subarray(roomAt, roomEnd)).toString('latin1')
    const view = this.#byRoom.get(room)
    if (view === undefined) this.#load.problem(`${this.user.user} got an event of ${room}`)
    return view
  }

  other(frame: AnyFrame): void {
    switch (frame.name) {
      case 'skip': {
        const view = this.#byRoom.get(frame.room)
        if (view === undefined) return
        view.reader.skipped(frame.first, frame.last)
        view.advance(frame.last)
        return
      }
      case 'pong':
        if (frame.cursor === null) return
        if (this.cursor !== null && frame.cursor.stream === this.cursor.stream) {
          if (frame.cursor.position > this.cursor.position) this.#sync()
        }
        return
      case 'changes':
        this.#changed(frame)
        if (frame.req !== 0) this.#answered(frame.req, frame)
        return
      case 'error':
        this.#refused(frame)
        return
      case 'mark':
        return
      case 'goaway':
        if (!this.#load.plan.resilient) this.#load.problem('the gateway drains')
        return
      default:
        if ('req' in frame) this.#answered(frame.req, frame)
    }
  }

  #answered(req: number, frame: AnyFrame): void {
    this.#asked.get(req)?.resolve(frame)
  }

  #refused(frame: Frame<'error'>): void {
    const lane = this.#requests.find(frame.req)
    if (lane === undefined) {
      this.#answered(frame.req, { name: 'error', ...frame })
      return
    }
    const { n } = this.#requests
    const code = errorByNumber(frame.code)
    this.#load.refused(code)
    if (frame.temporary) {
      lane.refuseForNow(n, nowUs() + Math.max(frame.retryAfter, RETRY_MS) * 1000)
      this.#retryLater()
      return
    }
    lane.check.refused(n)
    lane.settle(n)
    this.#load.problem(`command ${n} was refused: ${code} (${ERRORS[code].text}) ${frame.detail}`)
  }

  #retryLater(): void {
    if (this.#stalled) return
    this.#stalled = true
    setTimeout(() => this.#retry(), RETRY_MS)
  }

  #retry(): void {
    this.#stalled = false
    if (!this.isOpen) return
    for (const lane of this.lanes) {
      if (lane.refused === 0) continue
      const numbers = lane.retryAt <= nowUs() ? lane.again(false) : []
      for (const n of numbers) this.#transmit(lane, n)
      if (numbers.length === 0) this.#retryLater()
    }
    outgoing.flush()
  }

  #changed(changes: Pick<Frame<'changes'>, 'cursor' | 'changes' | 'more'>): void {
    const { cursor } = changes
    if (cursor !== null) {
      const name = `inbox cursor of ${this.user.user} in ${cursor.stream}`
      if (!changes.more) this.#load.check.position(name, cursor.position)
      this.cursor = cursor
    }
    for (const pointer of changes.changes) {
      const view = this.#byRoom.get(pointer.room)
      if (view === undefined) continue
      if (pointer.head > view.head) view.head = pointer.head
      if (view.behind) this.#heal(view)
    }
    if (changes.more) this.#sync()
  }

  #sync(): void {
    const connection = this.#connection
    if (connection === undefined) return
    connection.send('sync', { req: this.#question++, cursor: this.cursor })
    if (this.#question === FIRST_REQ) this.#question = FIRST_QUESTION
  }

  #heal(view: RoomView): void {
    if (view.fetching) return
    view.fetching = true
    void this.#healLater(view).finally(() => {
      view.fetching = false
    })
  }

  async #healLater(view: RoomView): Promise<void> {
    await pause(GRACE_MS)
    while (view.behind && this.isOpen) {
      const missing = view.next
      try {
        await this.fetch(view, missing)
        if (view.next > missing) this.#load.healed += view.next - missing
      } catch {
        // Refused or disconnected: the next event, pointer or welcome tries again.
        await pause(RETRY_MS)
      }
    }
  }

  /** One page upwards, taken as if it had come live. */
  async fetch(view: RoomView, from: number): Promise<void> {
    const { room } = view
    const page = await this.ask('fetch', { room, from, limit: LIMITS.pageEvents, back: false })
    if (page.name !== 'page') throw new Error(`a ${page.name} for a page`)
    if (page.head > view.head) view.head = page.head
    for (const frame of page.events) this.#pages.scan(frame)
  }

  #unanswered(why: string): void {
    this.#connection = undefined
    for (const { reject } of this.#asked.values()) reject(new Error(why))
  }

  closed(why: string): void {
    this.#unanswered(why)
    if (!this.#wanted) return
    this.#load.closedSessions++
    if (this.#load.plan.resilient) void this.#reconnect()
    else this.#load.problem(`${this.user.user} was disconnected: ${why}`)
  }

  async #reconnect(): Promise<void> {
    for (let backoff = BACKOFF_MS; this.#wanted; backoff = Math.min(backoff * 2, MOST_BACKOFF_MS)) {
      await pause(backoff * (0.5 + this.#load.random.next()))
      try {
        await this.open()
        for (const lane of this.lanes) this.pump(lane)
        outgoing.flush()
        return
      } catch {
        // The gateway is not back yet.
      }
    }
  }

  /** Room ids of this device. */
  get rooms(): RoomId[] {
    return this.views.map((view) => view.room)
  }

  end(): void {
    this.#wanted = false
    this.#connection?.end()
    this.#unanswered('ended here')
  }
}
