import { refuse } from '../../errors.ts'
import type { Handler } from './context.ts'

/** Only a device with a durable queue has something to acknowledge (contracts I5). */
export const queueAck: Handler<'queueAck'> = (context, session, frame) =>
  context.refuse(session, frame.req, refuse('bad_request', 'This device has no durable queue.'))
