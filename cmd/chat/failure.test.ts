import t from 'tap'
import { ERRORS, type ErrorCode, ParleyError } from '../../lib/errors.ts'
import { EXIT } from './exit-codes.ts'
import { failureOf, Usage } from './failure.ts'
import { Interrupted } from './rim.ts'

t.test('every error ends with the exit code of its kind, and says what it is', async (t) => {
  const login = ['unauthorized', 'token_expired', 'device_removed']
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const { exit, text } = failureOf(new ParleyError(code), 'http://server')
    const kind = login.includes(code) ? 'login' : ERRORS[code].temporary ? 'unreachable' : 'refused'
    t.equal(exit, kind, code)
    t.ok(text.startsWith(ERRORS[code].text), code)
    if (kind === 'login') t.match(text, /parley login/, code)
    if (kind === 'unreachable') t.match(text, /http:\/\/server.*--server/, code)
  }
})

t.test('what is no refusal has codes of its own', async (t) => {
  t.equal(failureOf(new Usage('so'), '').exit, 'usage')
  t.equal(failureOf(new Interrupted(), '').exit, 'interrupted')
  t.strictSame(failureOf(new Error('bug'), ''), { exit: 'failed', text: 'bug' })
  t.strictSame(failureOf('odd', ''), { exit: 'failed', text: 'odd' })
})

t.test('exit codes differ', async (t) => {
  const codes = Object.values(EXIT).map(({ code }) => code)
  t.equal(new Set(codes).size, codes.length)
})
