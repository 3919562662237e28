import { forRoom, type Handler } from './context.ts'

export const leave: Handler<'leave'> = forRoom
