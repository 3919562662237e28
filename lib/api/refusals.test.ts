import t from 'tap'
import { ERRORS, type ErrorCode, ParleyError, refuse } from '../errors.ts'
import { accepted, refusalOf, STATUS } from './refusals.ts'

t.test('every code has a status that says whether asking again may help', async (t) => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const mayHelp = STATUS[code] >= 500 || STATUS[code] === 429 || code === 'out_of_order'
    t.equal(mayHelp, ERRORS[code].temporary, `${code} ${STATUS[code]}`)
  }
})

t.test('a refusal is thrown with all that it says', async (t) => {
  t.same(accepted({ fine: true }), { fine: true })
  t.throws(() => accepted(refuse('rate', 'slowly', 1500)), {
    code: 'rate',
    message: 'slowly',
    retryAfterMs: 1500,
  })
  t.throws(() => accepted(refuse('exists')), { code: 'exists', message: ERRORS.exists.text })
})

t.test('what went wrong inside stays inside', async (t) => {
  const secret = 'password of alice'
  const inside = [
    new Error(secret),
    new ParleyError('internal', { detail: secret }),
    new ParleyError('unavailable', { detail: secret, cause: new Error(secret) }),
    Object.assign(new Error(secret), { statusCode: 500 }),
    Object.assign(new Error(secret), { statusCode: 200 }),
    secret,
    undefined,
  ]
  for (const error of inside) {
    const { status, body } = refusalOf(error)
    t.ok(status >= 500)
    t.notMatch(JSON.stringify(body), secret)
    t.equal(body.message, ERRORS[body.error].text)
  }
})
