import t from 'tap'
import { skipWithout } from './availability.ts'

const missing = () => {
  throw new Error('nothing in PATH')
}

t.test('what is there is used', async (t) => {
  const said: string[] = []
  const say = (line: string) => void said.push(line)
  for (const ci of [undefined, 'false', 'true']) {
    t.equal(await skipWithout('PostgreSQL', async () => '/usr/bin', { ci, say }), false)
  }
  t.same(said, [])
})

t.test('what is missing skips the tests, aloud', async (t) => {
  const said: string[] = []
  const say = (line: string) => void said.push(line)
  const reason = await skipWithout('PostgreSQL', missing, { ci: '', say })
  t.equal(reason, 'no PostgreSQL for these tests: nothing in PATH')
  t.same(said, [`SKIPPED: ${reason}`])
})

t.test('under CI=true they fail instead', async (t) => {
  await t.rejects(skipWithout('PostgreSQL', missing, { ci: 'true' }), {
    message: /no PostgreSQL for these tests: nothing in PATH/,
  })
})
