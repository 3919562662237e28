import type { Handler } from './context.ts'

/** Asks for, or gives up, the device's durable queue (contracts I5). */
export const queue: Handler<'queue'> = (context, session, frame) =>
  context.toQueue(session, frame.req, frame.on)
