/**
 * One connection at a time, kept up by the table of state.ts. Owns the socket, its requests, the heartbeat, the resume
 * token and the wait before the next try. Knows nothing of rooms: what the server pushes goes to `events`.
 *
 * C1 An event of a socket that was let go is never heard.
 * C2 Every request ends: with its reply, at its deadline, or when the session ends.
 * C3 `welcome` is told before anything that came after it, in a state in which frames can be sent.
 */
import { CLOSE, mayReconnect, ParleyError } from '../errors.ts'
import { encodeFrame, readFrames } from '../protocol/codec.ts'
import { type AnyFrame, type Frame, VERSION } from '../protocol/frames.ts'
import { BadFrame } from '../protocol/reader.ts'
import { Backoff, type BackoffLimits } from './backoff.ts'
import { Outgoing } from './outgoing.ts'
import { closeError, errorOf } from './refusal.ts'
import { type Done, type Reply, Requests } from './requests.ts'
import type { Dial, Socket } from './socket.ts'
import { IN_SESSION, type State, type StateEvent, TRANSITIONS } from './state.ts'
import type { Time } from './time.ts'

export type Way = { readonly token: string; readonly urls: readonly string[] }

export type ConnectionPorts = {
  readonly time: Time
  readonly dial: Dial
  readonly backoff: BackoffLimits
  /** An access token (a new one with `renew`) and where gateways are. @throws ParleyError */
  way(renew: boolean, signal: AbortSignal): Promise<Way>
  /** What a `hello` says besides the token. */
  hello(): Pick<Frame<'hello'>, 'cursor' | 'lineage'>
  readonly events: {
    state(state: State, reason: ParleyError | undefined): void
    welcome(frame: Frame<'welcome'>): void
    push(frame: AnyFrame): void
    pong(frame: Frame<'pong'>): void
    /** The session is over; all its requests have ended. */
    cut(): void
  }
}

/** What the rest of the client sees of a session. */
export interface Link {
  readonly inSession: boolean
  /**
   * Sends the frame that `encode` makes with a fresh request number. Never before `inSession`: `done` gets `lost`
   * at once then.
   */
  request(encode: (req: number) => Uint8Array, done: Done, timeout?: number): number
}

/** ms from the WebSocket's start to `welcome`. */
const GREETING_TIMEOUT = 10_000
/** ms in which a request is answered; longer than a gateway goes on trying before it says `unavailable`. */
const REPLY_TIMEOUT = 40_000
const PONG_TIMEOUT = 10_000
const SWEEP = 500

export class Connection implements Link {
  readonly #ports: ConnectionPorts
  readonly #backoff: Backoff
  readonly #requests = new Requests()
  readonly #outgoing: Outgoing
  #state: State = 'idle'
  #socket: Socket | undefined
  #way: Way | undefined
  #abort = new AbortController()
  #cancelTimer = () => {}
  #cancelBeat = () => {}
  #cancelSweep = () => {}
  #resume: string | undefined
  #resuming = false
  #renew = false
  #renewed = false
  #failures = 0
  #reason: ParleyError | undefined
  #retryAfter = 0

  constructor(ports: ConnectionPorts) {
    this.#ports = ports
    this.#backoff = new Backoff(ports.time, ports.backoff)
    this.#outgoing = new Outgoing((message) => this.#socket?.send(message))
  }

  get state(): State {
    return this.#state
  }

  get inSession(): boolean {
    return IN_SESSION[this.#state]
  }

  /** Why the connection is not up, when it is not. */
  get reason(): ParleyError | undefined {
    return this.#reason
  }

  /** Begins, or cuts a wait short. */
  connect(): void {
    this.#on('connect')
  }

  close(): void {
    this.#reason = undefined
    this.#on('close')
  }

  /** Ends the session and begins another, with what `hello` says then. */
  restart(): void {
    if (!this.inSession) return
    this.#reason = undefined
    this.#on('lost')
  }

  request(encode: (req: number) => Uint8Array, done: Done, timeout = REPLY_TIMEOUT): number {
    if (!this.inSession) {
      done({ name: 'lost' })
      return 0
    }
    return this.#ask(encode, done, timeout)
  }

  #ask(encode: (req: number) => Uint8Array, done: Done, timeout: number): number {
    const req = this.#requests.add(done, this.#ports.time.monotonic() + timeout)
    this.#outgoing.push(encode(req))
    return req
  }

  #on(event: StateEvent): void {
    const from = this.#state
    const to = TRANSITIONS[from][event]
    if (to === from) return
    this.#state = to
    this.#cancelTimer()
    if (this.#socket !== undefined && (to === 'authorizing' || to === 'waiting' || to === 'closed'))
      this.#letGo()
    if (IN_SESSION[from] && !IN_SESSION[to]) this.#ports.events.cut()
    this.#enter(to)
    if (this.#state === to) this.#ports.events.state(to, this.#reason)
  }

  #enter(state: State): void {
    switch (state) {
      case 'authorizing':
        void this.#authorize()
        break
      case 'opening':
        this.#dial()
        break
      case 'greeting':
        this.#greet()
        break
      case 'open':
        this.#reason = undefined
        this.#retryAfter = 0
        this.#failures = 0
        this.#renewed = false
        this.#backoff.reset()
        break
      case 'leaving':
        this.#timer((this.#retryAfter || 1_000) * this.#ports.time.random(), 'elapsed')
        // A gateway that closes us sooner has chosen the moment.
        this.#retryAfter = 0
        break
      case 'waiting':
        this.#timer(this.#backoff.next(this.#retryAfter), 'elapsed')
        this.#retryAfter = 0
        this.#renewed = false
        break
      case 'closed':
        this.#abort.abort()
        break
      case 'idle':
        break
    }
  }

  #timer(ms: number, event: StateEvent): void {
    this.#cancelTimer = this.#ports.time.after(ms, () => this.#on(event))
  }

  #letGo(): void {
    const socket = this.#socket
    this.#socket = undefined
    this.#cancelBeat()
    this.#cancelSweep()
    this.#outgoing.clear()
    socket?.close(1000, '')
    this.#requests.lose()
  }

  async #authorize(): Promise<void> {
    this.#abort.abort()
    const abort = new AbortController()
    this.#abort = abort
    try {
      const way = await this.#ports.way(this.#renew, abort.signal)
      if (abort.signal.aborted) return
      this.#renew = false
      this.#way = way
      this.#on('ready')
    } catch (error) {
      if (abort.signal.aborted) return
      const reason =
        error instanceof ParleyError ? error : new ParleyError('internal', { cause: error })
      this.#fail(reason, reason.canRetry ? 'lost' : 'rejected')
    }
  }

  #fail(reason: ParleyError, event: StateEvent): void {
    this.#reason = reason
    this.#retryAfter = Math.max(this.#retryAfter, reason.retryAfterMs)
    if (event === 'lost') this.#failures++
    if (event === 'rejected') this.#resume = undefined
    this.#on(event)
  }

  #dial(): void {
    const { time, dial } = this.#ports
    const urls = this.#way?.urls ?? []
    const url = urls[this.#failures % Math.max(1, urls.length)]
    if (url === undefined) {
      this.#fail(new ParleyError('unavailable', { detail: 'No gateway is known.' }), 'lost')
      return
    }
    const mine = (socket: Socket | undefined) => socket !== undefined && socket === this.#socket
    let socket: Socket | undefined
    try {
      socket = dial(url, {
        opened: () => mine(socket) && this.#on('opened'),
        message: (bytes) => mine(socket) && this.#read(bytes),
        closed: (code) => mine(socket) && this.#closed(code),
      })
    } catch (cause) {
      this.#fail(new ParleyError('unavailable', { cause, detail: `Cannot open ${url}.` }), 'lost')
      return
    }
    this.#socket = socket
    this.#cancelTimer = time.after(GREETING_TIMEOUT, () =>
      this.#fail(new ParleyError('unavailable', { detail: `${url} does not answer.` }), 'lost'),
    )
  }

  #greet(): void {
    const { hello, time } = this.#ports
    this.#resuming = this.#resume !== undefined
    const token = this.#resume ?? this.#way?.token ?? ''
    this.#ask(
      (req) => encodeFrame('hello', { req, version: VERSION, token, ...hello() }),
      (reply) => this.#greeted(reply),
      GREETING_TIMEOUT,
    )
    this.#outgoing.flush()
    this.#cancelTimer = time.after(GREETING_TIMEOUT, () =>
      this.#fail(
        new ParleyError('unavailable', { detail: 'The gateway sent no welcome.' }),
        'lost',
      ),
    )
  }

  #greeted(reply: Reply): void {
    if (reply.name === 'welcome') {
      this.#resume = reply.resume === '' ? undefined : reply.resume
      this.#on('welcomed')
      this.#sweep()
      this.#beat(reply.heartbeat)
      this.#ports.events.welcome(reply)
    } else if (reply.name === 'error') this.#refused(errorOf(reply))
  }

  /** `hello` was refused, or the session closed, because of `reason`. */
  #refused(reason: ParleyError): void {
    const mayRenew = reason.code === 'token_expired' || reason.code === 'unauthorized'
    if (mayRenew && this.#resuming) {
      this.#resuming = false
      this.#resume = undefined
      this.#fail(reason, 'expired')
    } else if (mayRenew && !this.#renewed) {
      this.#renewed = true
      this.#renew = true
      this.#resume = undefined
      this.#fail(reason, 'expired')
    } else
      this.#fail(reason, reason.canRetry || reason.code === 'token_expired' ? 'lost' : 'rejected')
  }

  #closed(code: number): void {
    const reason = closeError(code)
    if (reason.code === 'token_expired' || code === CLOSE.unauthorized.number) this.#refused(reason)
    else this.#fail(reason, mayReconnect(code) ? 'lost' : 'rejected')
  }

  #read(bytes: Uint8Array): void {
    try {
      for (const frame of readFrames(bytes)) {
        // A frame may have ended the session that the next one belongs to.
        if (this.#socket === undefined) return
        if (frame.name !== undefined) this.#take(frame)
      }
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error
      this.#fail(new ParleyError('bad_frame', { cause: error }), 'lost')
    }
  }

  #take(frame: AnyFrame): void {
    if (frame.name === 'goaway') {
      this.#retryAfter = frame.retryAfter
      this.#on('goaway')
    } else if (frame.name === 'error' && frame.req === 0) {
      this.#reason = errorOf(frame)
      this.#retryAfter = Math.max(this.#retryAfter, frame.retryAfter)
    } else if ('req' in frame && frame.req !== 0 && isReply(frame)) this.#requests.settle(frame)
    else if (this.inSession) this.#ports.events.push(frame)
  }

  /** Ends requests at their deadlines, as long as this socket lives. */
  #sweep(): void {
    const { time } = this.#ports
    this.#cancelSweep = time.after(SWEEP, () => {
      this.#sweep()
      this.#requests.expire(time.monotonic())
    })
  }

  #beat(heartbeat: number): void {
    const socket = this.#socket
    this.#cancelBeat = this.#ports.time.after(heartbeat * 0.8, () => {
      this.#ask(
        (req) => encodeFrame('ping', { req }),
        (reply) => {
          if (reply.name === 'pong') this.#ports.events.pong(reply)
          // Even a refusal is a sign of life.
          else if (reply.name === 'lost' && socket === this.#socket)
            this.#fail(new ParleyError('unavailable', { detail: 'The gateway is silent.' }), 'lost')
        },
        PONG_TIMEOUT,
      )
      this.#beat(heartbeat)
    })
  }
}

const REPLIES = {
  welcome: true,
  pong: true,
  error: true,
  ok: true,
  ack: true,
  page: true,
  changes: true,
  info: true,
} as const
type ReplyFrame = Extract<AnyFrame, { name: keyof typeof REPLIES }>
const isReply = (frame: AnyFrame): frame is ReplyFrame => frame.name in REPLIES
