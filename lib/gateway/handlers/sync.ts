import type { Handler } from './context.ts'

export const sync: Handler<'sync'> = (context, session, frame) =>
  context.toUser(session, frame.req, { name: 'sync', req: frame.req, cursor: frame.cursor })
