/**
 * From the bytes of a WebSocket message to handlers: frames are read strictly, one after the other, each checked
 * against the state of the session and its rates before it goes anywhere.
 */
import { refuse } from '../errors.ts'
import { readFrame } from '../protocol/codec.ts'
import { FRAMES, LIMITS } from '../protocol/frames.ts'
import { isSend, readHead, readSend } from '../protocol/hot.ts'
import { BadFrame, Reader } from '../protocol/reader.ts'
import type { ClientFrameName, Context, Handler } from './handlers/context.ts'
import { HANDLERS } from './handlers/index.ts'
import { sendBytes } from './handlers/send.ts'
import { errorFrame } from './refusals.ts'
import type { Session } from './session.ts'

export class Inbound {
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  /** `bytes` may be reused after the call. */
  message(session: Session, bytes: Uint8Array, isBinary: boolean, now: number): void {
    if (session.state === 'closed') return
    session.heard = now
    if (!isBinary) {
      this.#malformed(session, 'Frames are binary.')
      return
    }
    if (session.state !== 'open' && bytes.length > LIMITS.messageBeforeHello) {
      this.#tooLarge(session)
      return
    }
    if (bytes.length === 0) {
      this.#malformed(session, 'A message holds one frame at least.')
      return
    }
    try {
      this.#frames(session, bytes)
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error
      this.#malformed(session, error.message)
    }
  }

  #frames(session: Session, bytes: Uint8Array): void {
    const reader = new Reader(bytes)
    while (!reader.done) {
      const at = reader.at
      const { length, type } = readHead(reader)
      if (isSend(type)) {
        const { room, req, textBytes } = readSend(reader, bytes, length)
        if (session.state === 'open') {
          sendBytes(this.#context, session, room, req, textBytes, reader.span(at, reader.at))
        } else this.#early(session)
      } else {
        const rest = new Reader(bytes.subarray(at))
        const frame = readFrame(rest)
        const span = bytes.subarray(at, at + rest.at)
        reader.skipRest(length, 1)
        if (frame.name === undefined) this.#unknown(session, frame.type, frame.req)
        else if (FRAMES[frame.name].from === 'server') {
          throw new BadFrame(`${frame.name} is a frame of the server`)
        } else this.#handle(session, frame.name as ClientFrameName, frame, span)
      }
      if ((session.state as string) === 'closed') return
    }
  }

  #handle(session: Session, name: ClientFrameName, frame: object, bytes: Uint8Array): void {
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
      this.#context.refuse(session, req, refuse('unknown_frame', `Type ${type}.`))
    } else this.#early(session)
  }

  #malformed(session: Session, detail: string): void {
    if (session.step('malformed') === 'close') this.#bad(session, detail)
  }

  #bad(session: Session, detail: string): void {
    this.#context.end(session, 'bad_frame', errorFrame(0, refuse('bad_frame', detail)))
  }

  #tooLarge(session: Session): void {
    if (session.step('malformed') !== 'close') return
    const detail = `Before the welcome a message holds ${LIMITS.messageBeforeHello} bytes.`
    this.#context.end(session, 'too_large', errorFrame(0, refuse('too_large', detail)))
  }
}
