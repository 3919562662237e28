import { refuse } from '../../errors.ts'
import { encodeFrame } from '../../protocol/codec.ts'
import type { Handler } from './context.ts'

/** Only a device with a durable queue has something to acknowledge (contracts I5). */
export const queueAck: Handler<'queueAck'> = (context, session, { req, n }) => {
  if (context.queueAck(session, n)) context.delivery.push(session, encodeFrame('ok', { req }))
  else context.refuse(session, req, refuse('bad_request', 'This device has no durable queue.'))
}
