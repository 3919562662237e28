import { forRoom, type Handler } from './context.ts'

export const role: Handler<'role'> = forRoom
