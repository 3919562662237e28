import { ERRORS, type Refusal } from '../errors.ts'
import { encodeFrame } from '../protocol/codec.ts'
import { FRAMES } from '../protocol/frames.ts'

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

/** The type of an error frame, to tell it from other answers. */
export const ERROR_TYPE = FRAMES.error.type
