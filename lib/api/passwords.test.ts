import t from 'tap'
import { argon2id, type Hasher, NO_PASSWORD, openPasswords } from './passwords.ts'

/** A hasher whose work ends when the test says so. */
const slowHasher = () => {
  const working: (() => void)[] = []
  const verified: string[] = []
  const hasher: Hasher = {
    hash: async (password) => `hash of ${password}`,
    verify: (hash, password) => {
      verified.push(hash)
      return new Promise((resolve) => working.push(() => resolve(hash === `hash of ${password}`)))
    },
  }
  return { hasher, working, verified }
}

t.test('argon2id: right is right and wrong is wrong', async (t) => {
  const passwords = await openPasswords(argon2id)
  const hash = await passwords.hash('correct horse')
  t.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  t.not(await passwords.hash('correct horse'), hash, 'salted')
  t.equal(await passwords.verify(hash, 'correct horse'), true)
  t.equal(await passwords.verify(hash, 'correct horsf'), false)
  t.equal(await passwords.verify(NO_PASSWORD, 'correct horse'), false)
  t.equal(await passwords.verify(undefined, 'correct horse'), false)
})

t.test('a login for nobody does the same work as one for somebody', async (t) => {
  const { hasher, working, verified } = slowHasher()
  const passwords = await openPasswords(hasher)
  for (const hash of ['hash of x', undefined, NO_PASSWORD]) {
    const answer = passwords.verify(hash, 'wrong')
    t.equal(working.length, 1, 'it is at work')
    working.pop()?.()
    t.equal(await answer, false)
  }
  t.equal(verified.length, 3)
  t.notOk(verified.includes(NO_PASSWORD))
})

t.test('no password opens an account without one, not even that of the stand-in', async (t) => {
  let dummy = ''
  const passwords = await openPasswords({
    hash: async (password) => {
      dummy = password
      return password
    },
    verify: async (hash, password) => hash === password,
  })
  t.equal(await passwords.verify(NO_PASSWORD, dummy), false)
  t.equal(await passwords.verify(undefined, dummy), false)
})

t.test('a few at a time, a few more wait, the rest are refused', async (t) => {
  const { hasher, working } = slowHasher()
  const passwords = await openPasswords(hasher, { parallel: 2, waiting: 3 })
  const answers = Array.from({ length: 5 }, () => passwords.verify('hash of x', 'x'))
  t.equal(working.length, 2)
  await t.rejects(passwords.verify('hash of x', 'x'), { code: 'overloaded' })
  for (let done = 0; done < 5; done++) {
    working.shift()?.()
    await answers[done]
    t.ok(working.length <= 2)
  }
  t.same(await Promise.all(answers), [true, true, true, true, true])
  const after = passwords.verify('hash of x', 'x')
  t.equal(working.length, 1, 'the places are free again')
  working.shift()?.()
  t.equal(await after, true)
})

t.test('a failure gives its place back', async (t) => {
  const passwords = await openPasswords(
    {
      hash: async () => 'hash',
      verify: async () => {
        throw new Error('out of memory')
      },
    },
    { parallel: 1, waiting: 0 },
  )
  await t.rejects(passwords.verify('hash', 'x'), { message: 'out of memory' })
  await t.rejects(passwords.verify('hash', 'x'), { message: 'out of memory' })
})
