import { ERRORS, type Refusal } from '../errors.ts'
import { encodeFrame } from '../protocol/codec.ts'

/** The `error` frame of a refusal; `req` 0 says why the session ends. */
export const errorFrame = (req: number, refusal: Refusal): Uint8Array => {
  const { number, temporary, text } = ERRORS[refusal.refused]
  return encodeFrame('error', {
    req,
    code: number,
    temporary,
    retryAfter: Math.ceil(refusal.retryAfterMs ?? 0),
    detail: refusal.detail ?? text,
  })
}
