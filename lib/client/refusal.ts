/** What the server's ways to say no mean, as errors. */
import {
  CLOSE,
  type CloseReason,
  ERRORS,
  type ErrorCode,
  errorByNumber,
  mayReconnect,
  ParleyError,
} from '../errors.ts'
import type { Frame } from '../protocol/frames.ts'

/** What an `error` frame says, as an error. Of a code that is not known here only `temporary` is taken. */
export const errorOf = (frame: Frame<'error'>): ParleyError => {
  const known = errorByNumber(frame.code)
  const code =
    ERRORS[known].number === frame.code ? known : frame.temporary ? 'internal' : 'bad_request'
  return new ParleyError(code, {
    retryAfterMs: frame.retryAfter,
    ...(frame.detail === '' ? {} : { detail: frame.detail }),
  })
}

const CLOSE_ERRORS: Record<CloseReason, ErrorCode> = {
  drain: 'unavailable',
  slow: 'unavailable',
  idle: 'unavailable',
  overloaded: 'overloaded',
  internal: 'internal',
  rate: 'rate',
  unauthorized: 'unauthorized',
  bad_frame: 'bad_frame',
  too_large: 'too_large',
  auth_timeout: 'unauthorized',
  device_removed: 'device_removed',
  version: 'version',
  token_expired: 'token_expired',
  replaced: 'forbidden',
}

/** What a close code says, as an error. */
export const closeError = (number: number): ParleyError => {
  for (const reason of Object.keys(CLOSE) as CloseReason[]) {
    if (CLOSE[reason].number !== number) continue
    return new ParleyError(CLOSE_ERRORS[reason], { detail: CLOSE[reason].text })
  }
  return mayReconnect(number)
    ? new ParleyError('unavailable', { detail: `The connection was cut (${number}).` })
    : new ParleyError('forbidden', { detail: `The server closed the connection (${number}).` })
}
