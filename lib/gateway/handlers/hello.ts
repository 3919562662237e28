import type { Handler } from './context.ts'

export const hello: Handler<'hello'> = (context, session, frame) =>
  context.admission.verify(session, frame)
