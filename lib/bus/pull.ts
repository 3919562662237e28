/**
 * Messages of a work queue for one taker that says how many it wants: pulled in bounded requests from a durable
 * consumer, each to be acknowledged by itself.
 *
 * I1. Never more messages come than were wanted.
 * I2. A taker that shares its consumer with another is told: the consumer numbers its deliveries, and some are missing.
 * I3. After `onEnd` nothing comes. What was handed out and not acknowledged comes again from the consumer, at the
 *     latest after its ack_wait.
 */
import { type Msg, type NatsConnection, nuid, type Subscription } from '@nats-io/nats-core'
import type { Pull, PulledMessage, PullSink, Unsubscribe } from './bus.ts'

const REQUEST_MS = 10_000
const HEARTBEAT_MS = 2_000
/** Two heartbeats missed, and some. */
const SILENT_MS = 5_000
const MS = 1_000_000

const HEARTBEAT = 100
const NO_MESSAGES = 404
const REQUEST_OVER = 408

const text = new TextEncoder()
const ACK = text.encode('+ACK')

/** `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<tries>.<stream seq>.<consumer seq>.<time>.<pending>[.<random>]` */
const placeOf = (reply: string): { seq: number; delivery: number; time: number } => {
  const tokens = reply.split('.')
  const at = tokens.length === 9 ? 5 : 7
  return {
    seq: Number(tokens[at]),
    delivery: Number(tokens[at + 1]),
    time: Math.floor(Number(tokens[at + 2]) / MS),
  }
}

export const openPull = (
  connection: NatsConnection,
  onGap: (callback: () => void) => Unsubscribe,
  stream: string,
  name: string,
  sink: PullSink,
): Pull => new JetStreamPull(connection, onGap, `$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`, sink)

class JetStreamPull implements Pull {
  readonly #connection: NatsConnection
  readonly #next: string
  readonly #sink: PullSink
  readonly #subscription: Subscription
  readonly #ungap: Unsubscribe
  readonly #timer: NodeJS.Timeout
  #wanted = 0
  /** What the open request may still bring; 0 when none is open. */
  #asked = 0
  #heardAt = 0
  /** Number of the newest delivery. */
  #delivery = 0
  #ended = false

  constructor(
    connection: NatsConnection,
    onGap: (callback: () => void) => Unsubscribe,
    next: string,
    sink: PullSink,
  ) {
    this.#connection = connection
    this.#next = next
    this.#sink = sink
    this.#subscription = connection.subscribe(`_INBOX.${nuid.next()}`, {
      callback: (error, message) => {
        if (error !== null) this.#end('its subscription ended')
        else this.#receive(message)
      },
    })
    this.#ungap = onGap(() => this.#end('the connection was interrupted'))
    this.#timer = setInterval(() => {
      const silence = performance.now() - this.#heardAt
      if (this.#asked > 0 && silence > SILENT_MS) this.#end('the server is silent')
    }, HEARTBEAT_MS)
  }

  want(messages: number): void {
    this.#wanted += messages
    this.#ask()
  }

  #ask(): void {
    if (this.#ended || this.#asked > 0 || this.#wanted === 0) return
    this.#asked = this.#wanted
    this.#heardAt = performance.now()
    const request = {
      batch: this.#asked,
      expires: REQUEST_MS * MS,
      idle_heartbeat: HEARTBEAT_MS * MS,
    }
    this.#publish(this.#next, text.encode(JSON.stringify(request)), this.#subscription.getSubject())
  }

  #publish(subject: string, data: Uint8Array, reply?: string): void {
    if (this.#connection.isClosed()) return
    this.#connection.publish(subject, data, reply === undefined ? {} : { reply })
  }

  #receive(message: Msg): void {
    if (this.#ended) return
    this.#heardAt = performance.now()
    const { subject, data, reply } = message
    if (subject === this.#subscription.getSubject()) {
      this.#status(message)
      return
    }
    this.#asked = Math.max(0, this.#asked - 1)
    this.#wanted = Math.max(0, this.#wanted - 1)
    const token = reply ?? ''
    const { seq, time, delivery } = placeOf(token)
    if (this.#delivery > 0 && delivery !== this.#delivery + 1) {
      this.#end('somebody else takes messages of the consumer')
      return
    }
    this.#delivery = delivery
    const pulled: PulledMessage = {
      subject,
      data,
      seq,
      time,
      ack: () => this.#publish(token, ACK),
    }
    this.#sink.onMessage(pulled)
    this.#ask()
  }

  #status({ headers }: Msg): void {
    const code = headers?.code ?? 0
    if (code === HEARTBEAT) return
    this.#asked = 0
    if (code === NO_MESSAGES || code === REQUEST_OVER) this.#ask()
    else this.#end(`requests end with ${code} ${headers?.description ?? ''}`)
  }

  #end(why: string): void {
    if (this.#ended) return
    this.stop()
    this.#sink.onEnd(why)
  }

  stop(): void {
    if (this.#ended) return
    this.#ended = true
    clearInterval(this.#timer)
    this.#ungap()
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe()
  }
}
