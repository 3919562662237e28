/**
 * From the bytes of a WebSocket message to handlers: frames are read strictly, one after the other, each checked
 * against the state of the session and its rates before it goes anywhere.
 */
import { refuse } from '../errors.ts'
import { readFrame } from '../protocol/codec.ts'
import { type ClientFrame, FRAMES, LIMITS } from '../protocol/frames.ts'
import { isSend, readHead, readSend } from '../protocol/hot.ts'
import { BadFrame, Reader } from '../protocol/reader.ts'
import type { ClientFrameName, Context, Handler } from './handlers/context.ts'
import { HANDLERS } from './handlers/index.ts'
import { sendBytes } from './handlers/send.ts'
import { FLOOD, type Limits } from './limits.ts'
import { errorFrame } from './refusals.ts'
import type { Session } from './session.ts'

export class Inbound {
  readonly stats = { messagesIn: 0, bytesIn: 0 }
  readonly #context: Context

  readonly #limits: Limits

  constructor(context: Context, limits: Limits) {
    this.#context = context
    this.#limits = limits
  }

  /** `bytes` may be reused after the call. */
  message(session: Session, bytes: Uint8Array, isBinary: boolean, now: number): void {
    if (session.state === 'closed') return
    session.heard = now
    this.stats.messagesIn++
    this.stats.bytesIn += bytes.length
    if (!isBinary) {
      this.#malformed(session, 'Frames are binary.')
      return
    }
    const limit = session.state === 'open' ? LIMITS.message : LIMITS.messageBeforeHello
    if (bytes.length > limit) {
      this.#tooLarge(session, limit)
      return
    }
    if (bytes.length === 0) {
      this.#malformed(session, 'A message holds one frame at least.')
      return
    }
    this.#limits.message(session, bytes.length, now)
    try {
      this.#frames(session, bytes)
    } catch (error) {
      if (error instanceof BadFrame) this.#malformed(session, error.message)
      else this.#failed(session, error)
    }
  }

  #frames(session: Session, bytes: Uint8Array): void {
    const reader = new Reader(bytes)
    while (!reader.done) {
      const at = reader.at
      const { length, type } = readHead(reader)
      if (isSend(type)) {
        const { room, req, textBytes } = readSend(reader, undefined, length)
        if (session.state !== 'open') this.#early(session)
        else if (this.#allowed(session, req)) {
          sendBytes(this.#context, session, room, req, textBytes, reader.span(at, reader.at))
        }
      } else {
        const rest = new Reader(bytes.subarray(at))
        const frame = readFrame(rest)
        const span = bytes.subarray(at, at + rest.at)
        reader.skipRest(length, 1)
        if (frame.name === undefined) this.#unknown(session, frame.type, frame.req)
        else if (FRAMES[frame.name].from === 'server') {
          throw new BadFrame(`${frame.name} is a frame of the server`)
        } else this.#handle(session, frame.name as ClientFrameName, frame as ClientFrame, span)
      }
      if ((session.state as string) === 'closed') return
    }
  }

  /** False when the device's rate does not admit the frame: it is told to wait, or is closed. */
  #allowed(session: Session, req: number, name?: ClientFrameName): boolean {
    const wait = this.#limits.frame(session)
    // A ping costs nothing but the token; refused, it would look like a gateway that is gone.
    if (wait === 0 || (name === 'ping' && wait !== FLOOD)) return true
    if (wait === FLOOD) {
      if (session.step('flood') === 'close') this.#context.end(session, 'rate')
    } else this.#context.refuse(session, req, refuse('rate', undefined, wait))
    return false
  }

  #handle(
    session: Session,
    name: ClientFrameName,
    frame: { readonly req: number },
    bytes: Uint8Array,
  ): void {
    if (!this.#allowed(session, frame.req, name)) return
    const event = name === 'hello' || name === 'ping' ? name : 'request'
    switch (session.step(event)) {
      case 'verify':
      case 'pong':
      case 'handle':
        ;(HANDLERS[name] as Handler<ClientFrameName>)(this.#context, session, frame as never, bytes)
        break
      case 'close':
        this.#bad(session, 'A hello comes first, once.')
        break
    }
  }

  /** Only a session that is open may send. */
  #early(session: Session): void {
    if (session.step('request') === 'close') this.#bad(session, 'A hello comes first.')
  }

  #unknown(session: Session, type: number, req: number): void {
    if (session.state === 'open') {
      if (!this.#allowed(session, req)) return
      this.#context.refuse(session, req, refuse('unknown_frame', `Type ${type}.`))
    } else this.#early(session)
  }

  #malformed(session: Session, detail: string): void {
    if (session.step('malformed') === 'close') this.#bad(session, detail)
  }

  /** A bug of ours ends this session, not the process of all. */
  #failed(session: Session, error: unknown): void {
    this.#context.failed(error)
    if (session.step('failed') === 'close') this.#context.end(session, 'internal')
  }

  #bad(session: Session, detail: string): void {
    this.#context.end(session, 'bad_frame', errorFrame(0, refuse('bad_frame', detail)))
  }

  #tooLarge(session: Session, limit: number): void {
    if (session.step('malformed') !== 'close') return
    const refusal = refuse('too_large', `A message holds ${limit} bytes for now.`)
    this.#context.end(session, 'too_large', errorFrame(0, refusal))
  }
}
