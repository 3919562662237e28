import { encodeFrame } from '../../protocol/codec.ts'
import type { Handler } from './context.ts'

/** Answered here: the cursor is what this session was brought to (contracts R3). */
export const ping: Handler<'ping'> = (context, session, frame) => {
  const cursor =
    session.stream === '' ? null : { stream: session.stream, position: session.position }
  context.delivery.push(
    session,
    encodeFrame('pong', { req: frame.req, time: context.clock.now(), cursor }),
  )
}
