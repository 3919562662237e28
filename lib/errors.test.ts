import t from 'tap'
import {
  assertNever,
  CLOSE,
  type CloseReason,
  ERRORS,
  type ErrorCode,
  errorByNumber,
  mayReconnect,
  ParleyError,
  refuse,
} from './errors.ts'

const codes = Object.keys(ERRORS) as ErrorCode[]
const reasons = Object.keys(CLOSE) as CloseReason[]

t.test('wire numbers of errors are unique and lead back to their code', async (t) => {
  t.equal(new Set(codes.map((code) => ERRORS[code].number)).size, codes.length)
  for (const code of codes) t.equal(errorByNumber(ERRORS[code].number), code)
})

t.test('shipped numbers stay what they are', async (t) => {
  // A client in the field knows these: entries are added to this list, never changed.
  t.match(Object.fromEntries(codes.map((code) => [code, ERRORS[code].number])), {
    bad_frame: 1,
    unknown_frame: 2,
    too_large: 3,
    unauthorized: 10,
    token_expired: 11,
    device_removed: 12,
    version: 13,
    forbidden: 14,
    not_member: 15,
    blocked: 16,
    not_found: 20,
    exists: 21,
    bad_request: 22,
    limit: 23,
    conflict: 30,
    settled: 31,
    out_of_order: 32,
    unknown_lineage: 33,
    stale_join: 34,
    overloaded: 40,
    rate: 41,
    unavailable: 42,
    moved: 43,
    internal: 44,
  })
  t.match(Object.fromEntries(reasons.map((reason) => [reason, CLOSE[reason].number])), {
    drain: 4000,
    slow: 4001,
    idle: 4002,
    overloaded: 4003,
    internal: 4004,
    rate: 4005,
    unauthorized: 4500,
    bad_frame: 4501,
    too_large: 4502,
    auth_timeout: 4503,
    device_removed: 4504,
    version: 4505,
    token_expired: 4506,
    replaced: 4507,
  })
})

t.test('a number of a newer server is an internal error, which is temporary', async (t) => {
  for (const number of [0, 9999, -1, Number.NaN]) t.equal(errorByNumber(number), 'internal')
  t.equal(new ParleyError(errorByNumber(9999)).canRetry, true)
})

t.test('the range of a close code says whether to connect again', async (t) => {
  t.equal(new Set(reasons.map((reason) => CLOSE[reason].number)).size, reasons.length)
  for (const reason of reasons) {
    const { number, text } = CLOSE[reason]
    t.ok(number >= 4000 && number < 5000, reason)
    // The limit of a WebSocket close reason (RFC 6455 5.5: 125 bytes with the code).
    t.ok(Buffer.byteLength(text) <= 123, `${reason} fits in a close frame`)
  }
  const again = reasons.filter((reason) => mayReconnect(CLOSE[reason].number))
  t.strictSame(again, ['drain', 'slow', 'idle', 'overloaded', 'internal', 'rate'])
  t.equal(mayReconnect(1006), true, 'a connection that broke')
  t.equal(mayReconnect(1001), true, 'a proxy that goes away')
})

t.test('a ParleyError tells what, why and when to try again', async (t) => {
  const cause = new Error('socket hang up')
  const error = new ParleyError('unavailable', { retryAfterMs: 250, cause })
  t.equal(error.code, 'unavailable')
  t.equal(error.message, ERRORS.unavailable.text)
  t.equal(error.name, 'ParleyError')
  t.equal(error.retryAfterMs, 250)
  t.equal(error.cause, cause)
  t.equal(error.canRetry, true)
  const final = new ParleyError('forbidden', { detail: 'only owners' })
  t.equal(final.message, 'only owners')
  t.equal(final.retryAfterMs, 0)
  t.equal(final.canRetry, false)
})

t.test('a refusal holds only what was said', async (t) => {
  t.strictSame(refuse('not_member'), { refused: 'not_member' })
  t.strictSame(refuse('out_of_order', '7'), { refused: 'out_of_order', detail: '7' })
  t.strictSame(refuse('rate', undefined, 30), { refused: 'rate', retryAfterMs: 30 })
})

t.test('assertNever shows what was not thought of', async (t) => {
  t.throws(() => assertNever({ kind: 'new' } as never), /unreachable: {"kind":"new"}/)
})
