/** Every way in which the API says no: `{error, message}`, with `retryAfterMs` when it may say yes later. */
import type { FastifyError, FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { ERRORS, type ErrorCode, ParleyError, type Refusal } from '../errors.ts'

/** HTTP says less than our codes: clients go by `error`. */
export const STATUS: Record<ErrorCode, number> = {
  bad_frame: 400,
  unknown_frame: 400,
  too_large: 413,
  unauthorized: 401,
  token_expired: 401,
  device_removed: 401,
  version: 400,
  forbidden: 403,
  not_member: 403,
  blocked: 403,
  not_found: 404,
  exists: 409,
  bad_request: 400,
  limit: 403,
  conflict: 409,
  settled: 409,
  out_of_order: 409,
  unknown_lineage: 409,
  stale_join: 409,
  overloaded: 503,
  rate: 429,
  unavailable: 503,
  moved: 503,
  internal: 500,
}

export const RefusalBody = Type.Object(
  {
    error: Type.String({ description: 'A code of the table of errors in PROTOCOL.md' }),
    message: Type.String({ description: 'For people' }),
    retryAfterMs: Type.Optional(Type.Integer({ description: 'Wait this long before' })),
  },
  { description: 'Refused' },
)

/** For the `response` of every route. */
export const REFUSALS = { '4xx': RefusalBody, '5xx': RefusalBody } as const

/** A refusal of a store or token, as what the error handler answers; anything else as it is. */
export const accepted = <T extends object>(result: T | Refusal): T => {
  if (!('refused' in result)) return result
  const { refused, detail, retryAfterMs } = result
  throw new ParleyError(refused, {
    ...(detail === undefined ? {} : { detail }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

/** What goes wrong before or beside our handlers: in the parser, the validator, the router. */
const fromFramework = (error: Partial<FastifyError>): { code: ErrorCode; status: number } => {
  const status = error.statusCode ?? 500
  if (status === 413) return { code: 'too_large', status }
  if (status === 404) return { code: 'not_found', status }
  if (status === 429) return { code: 'rate', status }
  if (status === 503) return { code: 'unavailable', status }
  return status >= 400 && status < 500
    ? { code: 'bad_request', status }
    : { code: 'internal', status: 500 }
}

export type RefusalReply = {
  readonly status: number
  readonly body: { error: ErrorCode; message: string; retryAfterMs?: number }
}

export const refusalOf = (error: unknown): RefusalReply => {
  if (error instanceof ParleyError) {
    const { code, message, retryAfterMs } = error
    const status = STATUS[code]
    // What went wrong inside is for the log.
    const told = code === 'internal' || code === 'unavailable' ? ERRORS[code].text : message
    const wait = retryAfterMs > 0 ? { retryAfterMs } : {}
    return { status, body: { error: code, message: told, ...wait } }
  }
  const framework: Partial<FastifyError> = error instanceof Error ? error : {}
  const { code, status } = fromFramework(framework)
  const message = code === 'bad_request' ? framework.message : undefined
  return { status, body: { error: code, message: message ?? ERRORS[code].text } }
}

export const sendRefusal = async (reply: FastifyReply, error: unknown): Promise<RefusalReply> => {
  const refusal = refusalOf(error)
  const { retryAfterMs } = refusal.body
  if (retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(retryAfterMs / 1000))
  if (refusal.status === 401) reply.header('www-authenticate', 'Bearer')
  await reply.code(refusal.status).send(refusal.body)
  return refusal
}
