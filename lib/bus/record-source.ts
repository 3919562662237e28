/**
 * A stream's records in order, for one reader that keeps its own position: pulled in bounded requests through a
 * durable consumer, which shows operators where the reader is.
 *
 * Owns: the consumer's position and the records that are asked for but not handed out.
 * I1. Records handed out after `open(p)` are all that the stream has from p on: a hole in the consumer's numbering
 *     (a lost delivery, or another reader on the same consumer) fails the source instead.
 * I2. At most one request's worth of records waits here, while the reader works on the one before.
 * I3. A failed source stays failed until it is opened again.
 */
import { type ConsumerConfig, JetStreamApiError, jetstreamManager } from '@nats-io/jetstream'
import { type Msg, type NatsConnection, nuid, type Subscription } from '@nats-io/nats-core'
import type { Clock } from '../clock.ts'
import { ParleyError } from '../errors.ts'

export type StreamRecord = {
  /** Its sequence in the stream. */
  readonly position: number
  readonly subject: string
  readonly data: Uint8Array
}

/** Every failure is a ParleyError `unavailable`; the cure is to `open` again at the position after the last one stored. */
export interface RecordSource {
  /** `next` never answers more records than this. */
  readonly portion: number
  /**
   * Goes to `position`, wherever the consumer was. Answers the first and last positions that the stream has (first =
   * last + 1 when it is empty); fails when the stream ends before `position` − 1, for then it is not the stream that
   * the reader has read.
   */
  open(position: number): Promise<{ readonly first: number; readonly last: number }>
  /** The next records, at least one; none when none came within `waitMs` or `signal` aborted. */
  next(waitMs: number, signal: AbortSignal): Promise<StreamRecord[]>
  /** Tells the consumer that everything handed out is stored. Only for show: nothing depends on its arrival. */
  ack(): void
  /** How many records of the stream are not stored yet, by what was acknowledged. */
  pending(): Promise<number>
  /** Stops reading; the consumer stays. */
  close(): void
}

export type RecordSourceOptions = {
  readonly stream: string
  /** Where it starts is set here; a consumer that differs in anything else is made anew. */
  readonly consumer: Partial<ConsumerConfig> & { readonly durable_name: string }
  readonly clock: Clock
  /** Of one request. `bytes` must hold the largest record. */
  readonly limits?: { readonly records: number; readonly bytes: number }
}

const LIMITS = { records: 512, bytes: 4 << 20 }
const REQUEST_MS = 10_000
const HEARTBEAT_MS = 2_000
/** Two heartbeats missed, and some. */
const SILENT_MS = 5_000
const API_MS = 5_000
/** Requests that end early one after another without a record before the source counts as failed. */
const REFUSALS = 3
const CONSUMER_NOT_FOUND = 10014
const MS = 1_000_000

const HEARTBEAT = 100
const NO_MESSAGES = 404
const REQUEST_OVER = 408
const NO_RESPONDERS = 503

const ACK = new TextEncoder().encode('+ACK')

export const recordSource = (
  connection: NatsConnection,
  options: RecordSourceOptions,
): RecordSource => new JetStreamRecords(connection, options)

const ACK_SUBJECT = '$JS.ACK.'
const DOT = 46
const ZERO = 48

/**
 * `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<tries>.<stream seq>.<consumer seq>.<time>.<pending>[.<random>]`,
 * read without an array of its tokens: half the cost.
 */
export const sequences = (reply: string): { position: number; delivery: number } => {
  let dots = 0
  for (let i = 0; i < reply.length; i++) if (reply.charCodeAt(i) === DOT) dots++
  let at = 0
  for (let skip = dots === 8 ? 5 : 7; skip > 0; skip--) at = reply.indexOf('.', at) + 1
  const number = () => {
    let value = 0
    for (; at < reply.length && reply.charCodeAt(at) !== DOT; at++)
      value = value * 10 + (reply.charCodeAt(at) - ZERO)
    at++
    return value
  }
  const position = number()
  return { position, delivery: number() }
}

/** Its subject is made a string only when somebody asks: who sets a record aside. */
class Delivered implements StreamRecord {
  readonly position: number
  readonly #message: Msg

  constructor(position: number, message: Msg) {
    this.position = position
    this.#message = message
  }
  get subject(): string {
    return this.#message.subject
  }
  get data(): Uint8Array {
    return this.#message.data
  }
}

class JetStreamRecords implements RecordSource {
  readonly #connection: NatsConnection
  readonly #options: RecordSourceOptions
  readonly #limits: { records: number; bytes: number }
  #subscription: Subscription | undefined
  #failure: ParleyError | undefined
  #waiting: StreamRecord[] = []
  #lastReply: string | undefined
  #handedReply: string | undefined
  #position = 0
  #delivery = 0
  /** Records that the open request may still bring; 0 when none is open. */
  #asked = 0
  #heardAt = 0
  #refusals = 0
  #wake: (() => void) | undefined

  constructor(connection: NatsConnection, options: RecordSourceOptions) {
    this.#connection = connection
    this.#options = options
    this.#limits = options.limits ?? LIMITS
    this.#fail('it is not open')
    // Ends with the connection.
    void this.#watch()
  }

  get portion(): number {
    return this.#limits.records
  }

  async open(position: number): Promise<{ first: number; last: number }> {
    this.close()
    try {
      const { stream, consumer } = this.#options
      const { streams, consumers } = await this.#manager()
      const { state } = await streams.info(stream)
      if (position > state.last_seq + 1) {
        throw new ParleyError('unavailable', {
          detail: `${stream} ends at ${state.last_seq}, before position ${position}: another stream, or a stale replica`,
        })
      }
      const there = await absent(consumers.info(stream, consumer.durable_name))
      const fits =
        there !== undefined &&
        there.delivered.stream_seq === position - 1 &&
        there.num_ack_pending === 0 &&
        sameConfig(consumer, there.config)
      if (there !== undefined && !fits) await consumers.delete(stream, consumer.durable_name)
      const info = fits
        ? there
        : await consumers.add(stream, {
            ...consumer,
            deliver_policy: 'by_start_sequence',
            opt_start_seq: position,
          })
      this.#position = position - 1
      this.#delivery = info.delivered.consumer_seq
      this.#failure = undefined
      this.#subscription = this.#connection.subscribe(`_INBOX.${nuid.next()}`, {
        callback: (error, message) => {
          if (error !== null) this.#fail('its subscription ended', error)
          else this.#receive(message)
        },
      })
      // A stream that never held anything says 0.
      return { first: Math.max(1, state.first_seq), last: state.last_seq }
    } catch (cause) {
      throw cause instanceof ParleyError ? cause : this.#unavailable('cannot be opened', cause)
    }
  }

  async next(waitMs: number, signal: AbortSignal): Promise<StreamRecord[]> {
    if (this.#waiting.length === 0 && this.#failure === undefined) {
      const silence = this.#options.clock.monotonic() - this.#heardAt
      if (this.#asked > 0 && silence > SILENT_MS) this.#fail('the server is silent')
      else this.#ask()
      await this.#arrival(waitMs, signal)
    }
    if (this.#failure !== undefined) throw this.#failure
    const records = this.#waiting
    this.#waiting = []
    if (records.length > 0) this.#handedReply = this.#lastReply
    this.#ask()
    return records
  }

  ack(): void {
    if (this.#handedReply === undefined || this.#connection.isClosed()) return
    this.#connection.publish(this.#handedReply, ACK)
    this.#handedReply = undefined
  }

  async pending(): Promise<number> {
    const { stream, consumer } = this.#options
    try {
      const info = await (await this.#manager()).consumers.info(stream, consumer.durable_name)
      return info.num_pending + info.num_ack_pending
    } catch (cause) {
      throw this.#unavailable('does not answer', cause)
    }
  }

  close(): void {
    if (!this.#connection.isClosed()) this.#subscription?.unsubscribe()
    this.#subscription = undefined
    this.#waiting = []
    this.#handedReply = undefined
    this.#asked = 0
    this.#refusals = 0
    this.#fail('it is not open')
  }

  /** A reconnect has lost the open request: known here at once, else only by the silence. */
  async #watch(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type === 'reconnect') this.#fail('the connection was interrupted')
    }
  }

  #manager() {
    return jetstreamManager(this.#connection, { checkAPI: false, timeout: API_MS })
  }

  #ask(): void {
    const subscription = this.#subscription
    if (this.#asked > 0 || subscription === undefined || this.#failure !== undefined) return
    const { stream, consumer, clock } = this.#options
    const request = {
      batch: this.#limits.records,
      max_bytes: this.#limits.bytes,
      expires: REQUEST_MS * MS,
      idle_heartbeat: HEARTBEAT_MS * MS,
    }
    try {
      this.#connection.publish(
        `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer.durable_name}`,
        JSON.stringify(request),
        { reply: subscription.getSubject() },
      )
      this.#asked = request.batch
      this.#heardAt = clock.monotonic()
    } catch (error) {
      this.#fail('the connection is closed', error)
    }
  }

  #receive(message: Msg): void {
    if (this.#failure !== undefined) return
    this.#heardAt = this.#options.clock.monotonic()
    // What the server says about the request itself has no reply subject.
    const reply = message.reply ?? ''
    if (reply.startsWith(ACK_SUBJECT)) this.#record(reply, message)
    else this.#status(message)
  }

  #record(reply: string, message: Msg): void {
    const { position, delivery } = sequences(reply)
    if (delivery !== this.#delivery + 1) {
      this.#fail(`delivery ${delivery} follows ${this.#delivery}`)
      return
    }
    this.#delivery = delivery
    this.#asked = Math.max(0, this.#asked - 1)
    this.#refusals = 0
    // A redelivery repeats what was handed out before and is not stored yet.
    if (position <= this.#position) return
    this.#position = position
    this.#lastReply = reply
    this.#waiting.push(new Delivered(position, message))
    this.#wake?.()
  }

  #status(message: Msg): void {
    const code = message.headers?.code ?? 0
    if (code === HEARTBEAT) return
    this.#asked = 0
    if (code !== NO_MESSAGES && code !== REQUEST_OVER) this.#refusals++
    if (code === NO_RESPONDERS || this.#refusals >= REFUSALS) {
      this.#fail(`requests end with ${code} ${message.headers?.description ?? ''}`)
    } else if (this.#wake !== undefined) {
      this.#ask()
    }
  }

  async #arrival(waitMs: number, signal: AbortSignal): Promise<void> {
    if (this.#failure !== undefined || signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, waitMs)
    const wake = () => resolve()
    signal.addEventListener('abort', wake)
    this.#wake = wake
    await promise
    this.#wake = undefined
    signal.removeEventListener('abort', wake)
    clearTimeout(timer)
  }

  #fail(why: string, cause?: unknown): void {
    this.#failure ??= this.#unavailable(why, cause)
    this.#wake?.()
  }

  #unavailable(why: string, cause?: unknown): ParleyError {
    const { stream, consumer } = this.#options
    return new ParleyError('unavailable', {
      detail: `consumer ${consumer.durable_name} of ${stream}: ${why}`,
      cause,
    })
  }
}

const absent = async <T>(ask: Promise<T>): Promise<T | undefined> => {
  try {
    return await ask
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === CONSUMER_NOT_FOUND) return undefined
    throw error
  }
}

/** The server leaves out what is zero or false. */
const sameConfig = (wanted: Partial<ConsumerConfig>, there: ConsumerConfig): boolean => {
  const known = there as unknown as Record<string, unknown>
  return Object.entries(wanted).every(
    ([key, value]) =>
      key === 'deliver_policy' ||
      key === 'opt_start_seq' ||
      JSON.stringify(known[key] || 0) === JSON.stringify(value || 0),
  )
}
