import t from 'tap'
import { ERRORS } from '../errors.ts'
import { LIMITS } from '../protocol/frames.ts'
import { Outgoing } from './outgoing.ts'
import { errorOf } from './refusal.ts'
import { Requests } from './requests.ts'
import { settle } from './testing/fake-time.ts'

t.test('numbers are not used again while a request waits', async (t) => {
  const requests = new Requests()
  const first = requests.add(() => {}, 1)
  const second = requests.add(() => {}, 1)
  t.not(first, second)
  t.equal(requests.size, 2)
})

t.test('an error of a newer server is what it says of itself', async (t) => {
  const frame = { req: 1, code: 60_000, retryAfter: 7, detail: 'new' }
  t.match(errorOf({ ...frame, temporary: true }), {
    canRetry: true,
    retryAfterMs: 7,
    message: 'new',
  })
  t.match(errorOf({ ...frame, temporary: false }), { canRetry: false })
  const known = { ...frame, code: ERRORS.rate.number, temporary: true, detail: '' }
  t.match(errorOf(known), { code: 'rate', message: ERRORS.rate.text })
})

t.test('W1 frames of a turn leave together, in messages that are not too large', async (t) => {
  const messages: Uint8Array[] = []
  const outgoing = new Outgoing((message) => messages.push(message))
  outgoing.push(Uint8Array.from([1, 2]))
  outgoing.push(Uint8Array.from([3]))
  t.equal(messages.length, 0)
  await settle()
  t.strictSame(messages, [Uint8Array.from([1, 2, 3])])
  const large = new Uint8Array(LIMITS.message / 2 + 1)
  for (let n = 0; n < 3; n++) outgoing.push(large)
  await settle()
  t.strictSame(
    messages.slice(1).map((message) => message.length),
    [large.length, large.length, large.length],
  )
  outgoing.push(large)
  outgoing.clear()
  await settle()
  t.equal(messages.length, 4)
})
