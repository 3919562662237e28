import { forRoom, type Handler } from './context.ts'

export const read: Handler<'read'> = forRoom
