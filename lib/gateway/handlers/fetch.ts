import { forRoom, type Handler } from './context.ts'

export const fetch: Handler<'fetch'> = forRoom
