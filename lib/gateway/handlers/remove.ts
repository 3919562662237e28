import { forRoom, type Handler } from './context.ts'

export const remove: Handler<'remove'> = forRoom
