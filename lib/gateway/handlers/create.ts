import { forRoom, type Handler } from './context.ts'

export const create: Handler<'create'> = forRoom
