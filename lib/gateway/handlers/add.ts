import { forRoom, type Handler } from './context.ts'

export const add: Handler<'add'> = forRoom
