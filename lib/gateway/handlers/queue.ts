import type { Handler } from './context.ts'

/** Asks for, or gives up, the device's durable queue (contracts I5). */
export const queue: Handler<'queue'> = (context, session, frame) =>
  context.toUser(session, frame.req, { name: 'queue', req: frame.req, on: frame.on })
