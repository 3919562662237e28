import { forRoom, type Handler } from './context.ts'

export const open: Handler<'open'> = forRoom
