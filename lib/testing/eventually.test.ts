import t from 'tap'
import { eventually } from './eventually.ts'

t.test('answers what the check answers', async (t) => {
  t.equal(await eventually('at once', () => 5), 5)
  let asked = 0
  t.equal(await eventually('the third time', () => ++asked === 3 && 'yes', { every: 1 }), 'yes')
  t.equal(asked, 3)
  let failed = 0
  const check = async (): Promise<number> => {
    if (++failed < 3) throw new Error('not yet')
    return failed
  }
  t.equal(await eventually('it stops failing', check, { every: 1 }), 3)
  t.equal(await eventually('zero is an answer', () => 0), 0)
  t.equal(await eventually('so is an empty text', () => ''), '')
})

t.test('the error names what is missing and the last reason', async (t) => {
  const options = { within: 30, every: 5 }
  await t.rejects(
    eventually('the moon is blue', () => false, options),
    { message: /within 30 ms: the moon is blue \(the check answered false\)/ },
  )
  const cause = new Error('it is grey')
  const error = await eventually('the moon is green', () => Promise.reject(cause), options).then(
    () => undefined,
    (error: unknown) => error,
  )
  t.match(error, { message: /the moon is green \(it is grey\)/ })
  t.equal((error as Error).cause, cause)
})

t.test('a check that never answers does not outlast the deadline', async (t) => {
  await t.rejects(
    eventually('the silent one speaks', () => new Promise(() => {}), { within: 30 }),
    { message: /the silent one speaks \(the check gave no answer\)/ },
  )
})
