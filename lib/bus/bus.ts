/**
 * What Parley needs of NATS: core messages, the log, durable consumption, small shared state. Implemented by nats.ts;
 * everything else in the house sees only these types.
 */
import type { RecordSource } from './record-source.ts'

export type Message = {
  readonly subject: string
  readonly data: Uint8Array
  /** Where an answer is awaited; undefined when none is. */
  readonly reply: string | undefined
}

export type Unsubscribe = () => void

/** Core NATS: at most once, ordered per sender and subject. */
export interface Bus {
  /** Hands a message to the connection; lost when the connection is down. Written once per microtask turn. */
  publish(subject: string, data: Uint8Array, reply?: string): void
  /** `onMessage` must not throw; wildcards allowed. */
  subscribe(subject: string, onMessage: (message: Message) => void): Unsubscribe
  /** Cold paths only (20–40 µs each). @throws ParleyError unavailable on timeout or when nobody listens. */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>
  /** Resolves when the server has what was published before. */
  flush(): Promise<void>
  /** Called after the connection came back, or messages were dropped for slowness: what was in flight may be lost. */
  onGap(callback: () => void): Unsubscribe
  readonly connected: boolean
  /** Bytes handed to the connection that it has not written yet, as far as it tells. */
  close(): Promise<void>
}

/** JetStream's answer to an append, as it arrived. */
export type AppendReply =
  | { readonly ok: true; readonly seq: number; readonly stream: string }
  /** `code` is JetStream's err_code, or 503 when no server answers; `last` only with 10071 (wrong last sequence). */
  | {
      readonly ok: false
      readonly code: number
      readonly last: number | undefined
      readonly text: string
    }

export type StoredMessage = {
  readonly seq: number
  readonly subject: string
  readonly data: Uint8Array
  readonly time: number
}

export type StreamState = {
  readonly firstSeq: number
  readonly lastSeq: number
  readonly messages: number
  readonly bytes: number
  readonly maxBytes: number
  /** When the stream was made: a stream made anew is another one, whatever its sequences say. */
  readonly created: string
}

/** The streams. */
export interface Streams {
  /**
   * Publishes to a stream; the answer comes to `reply`, to be read with `parseAppendReply`. With `expected`, the
   * append is refused (10071) unless that is the last sequence of the subject.
   */
  append(subject: string, data: Uint8Array, expected: number | undefined, reply: string): void
  /** The message at a sequence; undefined when this replica has none there (it may be stale). */
  get(stream: string, seq: number): Promise<StoredMessage | undefined>
  /** The last message of a subject as this replica knows it: a hint. */
  last(stream: string, subject: string): Promise<StoredMessage | undefined>
  /**
   * Reads messages of `subjects` with seq ≥ `from` in order until the replica's end, as known when it started.
   * Short on a stale replica: the caller verifies.
   */
  read(
    stream: string,
    subjects: readonly string[],
    from: number,
    onMessage: (message: StoredMessage) => void,
  ): Promise<void>
  state(stream: string): Promise<StreamState>
  /** Removes messages below `below`, or whatever their sequence, of one subject or of all. */
  purge(stream: string, below: number | undefined, subject?: string): Promise<void>
  /** The records of `config.filter_subject` in order, for one reader that keeps its own position (record-source.ts). */
  source(stream: string, config: ConsumerSpec): RecordSource
  /** Makes a consumer, or leaves the one that is there. @throws ParleyError limit, when the stream admits no more of them */
  addConsumer(stream: string, config: ConsumerSpec): Promise<void>
  /** Undefined when there is no such consumer. */
  consumer(stream: string, name: string): Promise<ConsumerState | undefined>
  /** Messages of a work queue, each to be acknowledged by itself; the consumer must be there. */
  pull(stream: string, name: string, sink: PullSink): Pull
  deleteConsumer(stream: string, name: string): Promise<void>
  consumers(stream: string): Promise<string[]>
}

/** A durable consumer's configuration: JetStream's own names (nats/streams.ts makes them). */
export type ConsumerSpec = {
  readonly durable_name: string
  readonly filter_subject?: string
  readonly filter_subjects?: string[]
  readonly opt_start_seq?: number
  readonly [option: string]: unknown
}

export type ConsumerState = {
  /** Messages that it still has to hand out. */
  readonly pending: number
  /** Messages handed out and not acknowledged. */
  readonly unacked: number
  /** Everything of it up to this sequence of the stream is acknowledged. */
  readonly floor: number
  /** Requests for messages that are open: somebody pulls it. */
  readonly waiting: number
  /** When it was made: one that was deleted and made anew is another. */
  readonly created: string
}

export type PulledMessage = StoredMessage & {
  /** It need not come again. */
  ack(): void
}

export type PullSink = {
  onMessage(message: PulledMessage): void
  /** Nothing more comes: the consumer is gone or shared with another taker, or the connection was interrupted. */
  onEnd(why: string): void
}

export interface Pull {
  /** Takes up to `messages` more, beyond what it was asked for before. */
  want(messages: number): void
  stop(): void
}

/** A KV entry; `value` undefined after a delete. */
export type Entry = {
  readonly key: string
  readonly value: Uint8Array | undefined
  readonly revision: number
}

/** A bucket of small shared state. */
export interface Bucket {
  get(key: string): Promise<Entry | undefined>
  put(key: string, value: Uint8Array): Promise<number>
  /** Writes if the key's revision is `expected` (0 = absent): its new revision, or undefined when it is not. */
  cas(key: string, value: Uint8Array, expected: number): Promise<number | undefined>
  remove(key: string): Promise<void>
  keys(): Promise<string[]>
  /** Every entry now and each change from then on, in order; the first call of `onReady` says "now" is complete. */
  watch(onEntry: (entry: Entry) => void, onReady?: () => void): Promise<Unsubscribe>
}

export type BucketName =
  | 'cluster'
  | 'owners'
  | 'gateways'
  | 'checkpoints'
  | 'workers'
  | 'projectors'
  | 'aside'

/** Everything of one connection. */
export interface Nats extends Bus {
  readonly streams: Streams
  bucket(name: BucketName): Promise<Bucket>
  /** A subject of this connection under one standing inbox; what arrives on `prefix.<rest>` goes to the callback. */
  inbox(onMessage: (rest: string, message: Message) => void): {
    readonly prefix: string
    close: Unsubscribe
  }
}

const text = new TextDecoder()

/** Reads what JetStream answered. A 503 (no responders) arrives as an empty message. */
export const parseAppendReply = (message: Message): AppendReply => {
  if (message.data.length === 0)
    return { ok: false, code: 503, last: undefined, text: 'no stream answers' }
  const reply = JSON.parse(text.decode(message.data)) as {
    stream?: string
    seq?: number
    error?: { code: number; err_code?: number; description?: string }
  }
  if (reply.error === undefined)
    return { ok: true, seq: reply.seq ?? 0, stream: reply.stream ?? '' }
  const { code, err_code, description = '' } = reply.error
  const last =
    err_code === 10071 ? Number(/(\d+)\s*$/.exec(description)?.[1] ?? Number.NaN) : undefined
  return {
    ok: false,
    code: err_code ?? code,
    last: Number.isNaN(last) ? undefined : last,
    text: description,
  }
}
