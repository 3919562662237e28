import t from 'tap'
import { login, startTestApi } from './fixture.ts'
import { seed } from './seed.ts'

const api = await startTestApi()
t.teardown(api.stop)
const parts = { ...api.parts, outbox: api.outbox }

t.test('seeded users can do all but log in with a password', async (t) => {
  const before = api.hashed.hash
  const users = await seed(parts, 2500, 'load')
  t.equal(api.hashed.hash, before, 'no password is hashed')
  t.equal(users.length, 2500)
  t.equal(new Set(users.map(({ user }) => user)).size, 2500)
  t.equal(new Set(users.map(({ device }) => device)).size, 2500)
  t.equal(users[2499]?.handle, 'load2499')

  const { user, device, accessToken, resumeToken, handle } = users[1234]!
  const identity = { user, device, generation: 1 }
  t.match(await api.tokens.verifyAccess(accessToken), identity)
  t.match(api.tokens.verifyResume(resumeToken), identity)
  t.match(await api.call('GET', '/v1/profile', { token: accessToken }), {
    status: 200,
    body: { user, handle },
  })
  await t.rejects(login(api, handle), /401/)
})

t.test('I6 their records are confirmed when it returns', async (t) => {
  const users = await seed(parts, 3, 'told')
  const told = new Set(api.published.map((record) => record.user))
  t.ok(users.every(({ user }) => told.has(user)))
  t.same(await api.store.pending(1), [])
})

t.test('a handle that is taken stops it', async (t) => {
  await t.rejects(seed(parts, 1, 'load'), { code: 'exists' })
  t.same(await seed(parts, 0, 'none'), [])
})
