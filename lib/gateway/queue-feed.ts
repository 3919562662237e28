/**
 * A session's durable queue (contracts I5): takes messages from the device's consumer, fetches the events that each
 * entry tells of from its room, sends `queued` frames in the order of their numbers, and acknowledges a message when
 * the device has acknowledged its last entry.
 *
 * I1. Frames leave in the order of the stream, each once in a session.
 * I2. At most WINDOW messages and SENT_BYTES of frames are out that the device has not acknowledged.
 * I3. Of the sessions of a device the one that began last is fed: it makes the consumer anew when somebody takes from it,
 *     and who finds that another made it leaves it alone.
 * I4. An entry whose events can't be had is sent without: its pointer tells the device what to fetch.
 */
import type { ConsumerSpec, Pull, PulledMessage, Streams } from '../bus/bus.ts'
import { ERRORS, errorByNumber, type Refusal } from '../errors.ts'
import type { DeviceId, RoomId, UserId } from '../ids.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { FRAMES } from '../protocol/frames.ts'
import { pointerHead, type QueueEntry, readQueueMessage } from '../protocol/queue-entries.ts'
import { Reader } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'
import type { Session } from './session.ts'

/** The consumer of a device's queue. */
export type QueueConsumer = (
  user: UserId,
  device: DeviceId,
) => { readonly stream: string; readonly config: ConsumerSpec }

export type FeedDeps = {
  readonly streams: Pick<Streams, 'consumer' | 'addConsumer' | 'deleteConsumer' | 'pull'>
  readonly consumer: QueueConsumer
  readonly push: (session: Session, frame: Uint8Array) => void
  /** Asks a room for events; the answer comes to `answered` or `refused` with the same ticket. */
  readonly fetch: (
    session: Session,
    ticket: number,
    room: RoomId,
    frame: Uint8Array,
  ) => Refusal | undefined
  readonly failed: (session: Session, cause: unknown) => void
}

const WINDOW = 32
const SENT_BYTES = 512 * 1024
/** Fetches under way at once. */
const FETCHES = 16
/** Events of an entry; a device that lacks more asks for them. */
const EVENTS = 64
const TRIES = 5
const RETRY_MS = 300
const RESTART_MIN_MS = 100
const RESTART_MAX_MS = 5000

type Held = { message: PulledMessage; readonly lastN: number }
type Item = {
  readonly entry: QueueEntry
  readonly room: RoomId | undefined
  /** Events wanted, both ends included; none when first > last. */
  readonly first: number
  readonly last: number
  events: readonly Uint8Array[] | undefined
  asked: boolean
  tries: number
}

export class QueueFeed {
  readonly #deps: FeedDeps
  readonly #session: Session
  /** Messages that are not acknowledged, by their sequence. */
  readonly #held = new Map<number, Held>()
  /** Entries that are not sent, in order. */
  #items: Item[] = []
  readonly #asked = new Map<number, Item>()
  #ticket = 0
  /** Frames that the device has not acknowledged. */
  #sent: { n: number; bytes: number }[] = []
  #sentBytes = 0
  #sentN = 0
  #ackedN = 0
  #pull: Pull | undefined
  #timer: NodeJS.Timeout | undefined
  #backoff = RESTART_MIN_MS
  /** When the consumer that this feed began with was made; empty before. */
  #created = ''
  #stopped = false

  constructor(deps: FeedDeps, session: Session) {
    this.#deps = deps
    this.#session = session
    void this.#start()
  }

  async #start(): Promise<void> {
    const { streams, consumer } = this.#deps
    const { user, device } = this.#session
    const { stream, config } = consumer(user, device)
    try {
      let there = await streams.consumer(stream, config.durable_name)
      const others = this.#created !== '' && there !== undefined && there.created !== this.#created
      if (others) this.stop()
      if (this.#stopped) return
      // What another session has not acknowledged would come late and out of order: a new consumer begins with it.
      if (there !== undefined && there.unacked + there.waiting > 0) {
        await streams.deleteConsumer(stream, config.durable_name)
        there = undefined
      }
      if (there === undefined) {
        await streams.addConsumer(stream, config)
        there = await streams.consumer(stream, config.durable_name)
      }
      this.#created = there?.created ?? ''
    } catch (cause) {
      this.#again(cause)
      return
    }
    if (this.#stopped) return
    this.#pull = streams.pull(stream, config.durable_name, {
      onMessage: (message) => this.#onMessage(message),
      onEnd: (why) => this.#again(why),
    })
    this.#pull.want(WINDOW)
  }

  #again(cause: unknown): void {
    if (this.#stopped) return
    this.#deps.failed(this.#session, cause)
    this.#pull = undefined
    this.#held.clear()
    this.#items = []
    this.#asked.clear()
    this.#timer = setTimeout(() => void this.#start(), this.#backoff)
    this.#backoff = Math.min(2 * this.#backoff, RESTART_MAX_MS)
  }

  stop(): void {
    this.#stopped = true
    this.#pull?.stop()
    clearTimeout(this.#timer)
  }

  #onMessage(message: PulledMessage): void {
    this.#backoff = RESTART_MIN_MS
    const held = this.#held.get(message.seq)
    if (held !== undefined) {
      // The device takes its time: what it was sent in this session needs not be sent again.
      held.message = message
      this.#pull?.want(1)
      return
    }
    let entries: readonly QueueEntry[]
    try {
      entries = readQueueMessage(message.data).entries
    } catch (cause) {
      // The numbers that it held are missing for the device, which syncs.
      this.#deps.failed(this.#session, cause)
      entries = []
    }
    const last = entries.at(-1)
    if (last === undefined || last.n <= this.#ackedN) {
      message.ack()
      this.#pull?.want(1)
      return
    }
    this.#held.set(message.seq, { message, lastN: last.n })
    for (const entry of entries) if (entry.n > this.#sentN) this.#items.push(itemOf(entry))
    this.#go()
  }

  /** Asks for events, and sends what is next and complete. */
  #go(): void {
    let sent = 0
    while (this.#sentBytes < SENT_BYTES && this.#items[sent]?.events !== undefined) {
      this.#send(this.#items[sent++]!)
    }
    if (sent > 0) this.#items.splice(0, sent)
    for (const item of this.#items) {
      if (this.#asked.size >= FETCHES) break
      if (item.events === undefined && !item.asked) this.#ask(item)
    }
  }

  #send({ entry, events }: Item): void {
    const { n, stamp, kind } = entry
    const writer = new Writer(512)
    writer.array(6).uint(FRAMES.queued.type).uint(n).uint(stamp)
    writer.bool(kind === 'reset')
    if (kind === 'reset') writer.nil()
    else writer.raw(entry.pointer)
    writer.array(events!.length)
    for (const event of events!) writer.raw(event)
    const frame = writer.take()
    this.#sentN = n
    this.#sent.push({ n, bytes: frame.length })
    this.#sentBytes += frame.length
    this.#deps.push(this.#session, frame)
  }

  #ask(item: Item): void {
    const { first, last, room } = item
    this.#ticket = (this.#ticket + 1) >>> 0
    const ticket = this.#ticket
    const fetch = { req: ticket, room: room!, from: first, limit: last - first + 1, back: false }
    item.asked = true
    const refusal = this.#deps.fetch(this.#session, ticket, room!, encodeFrame('fetch', fetch))
    if (refusal === undefined) this.#asked.set(ticket, item)
    else this.#later(item, refusal)
  }

  /** A room's answer to a fetch: a `page`, or an `error`. */
  answered(ticket: number, frame: Uint8Array): void {
    const item = this.#asked.get(ticket)
    if (item === undefined) return
    this.#asked.delete(ticket)
    const reader = new Reader(frame)
    const length = reader.array()
    const type = reader.uint()
    reader.uint()
    if (type === FRAMES.page.type) {
      item.events = eventsOf(reader, length)
      this.#go()
    } else this.#later(item, { refused: errorByNumber(reader.uint()) })
  }

  /** The room could not be asked. */
  refused(ticket: number, refusal: Refusal): void {
    const item = this.#asked.get(ticket)
    this.#asked.delete(ticket)
    if (item !== undefined) this.#later(item, refusal)
  }

  #later(item: Item, { refused }: Refusal): void {
    if (!ERRORS[refused].temporary || ++item.tries >= TRIES) {
      item.events = []
      // Not in here: `#go` may be what asked.
      queueMicrotask(() => this.#go())
      return
    }
    setTimeout(() => {
      item.asked = false
      if (!this.#stopped) this.#go()
    }, RETRY_MS)
  }

  /** The device has everything up to `n`. */
  ack(n: number): void {
    let count = 0
    while (count < this.#sent.length && this.#sent[count]!.n <= n) {
      this.#sentBytes -= this.#sent[count++]!.bytes
    }
    this.#sent.splice(0, count)
    this.#ackedN = Math.max(this.#ackedN, Math.min(n, this.#sentN))
    for (const [seq, { message, lastN }] of this.#held) {
      if (lastN > this.#ackedN) continue
      this.#held.delete(seq)
      message.ack()
      this.#pull?.want(1)
    }
    this.#go()
  }
}

const itemOf = (entry: QueueEntry): Item => {
  const none = { entry, room: undefined, first: 1, last: 0, events: [], asked: false, tries: 0 }
  if (entry.kind === 'reset') return none
  const { room, head, from } = pointerHead(entry.pointer)
  const first = Math.max(entry.after + 1, from, head - EVENTS + 1)
  return first > head ? none : { ...none, room, first, last: head, events: undefined }
}

/** Copies of the events of a `page`, after its request number. */
const eventsOf = (reader: Reader, length: number): Uint8Array[] => {
  reader.str(32)
  reader.uint()
  reader.uint()
  const events = Array.from({ length: reader.array() }, () => {
    const at = reader.at
    reader.skip()
    return reader.span(at, reader.at).slice()
  })
  reader.skipRest(length, 6)
  return events
}
