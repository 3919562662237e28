import t from 'tap'
import { parseDeviceId, parseUserId } from '../ids.ts'
import { admission } from '../protocol/account.ts'
import { eventually } from '../testing/eventually.ts'
import { login, PASSWORD, register, startTestApi } from './fixture.ts'

const api = await startTestApi()
t.teardown(api.stop)
const { call, tokens, published, inbox, hashed } = api

const unauthorized = { status: 401, body: { error: 'unauthorized' } }
const newestOf = (user: string) => published.filter((record) => record.user === user).at(-1)

t.test('register', async (t) => {
  const answer = await call('POST', '/v1/register', {
    body: { handle: 'Ann.1', password: PASSWORD, name: 'Ann Ä', device: 'phone' },
  })
  t.match(answer, { status: 201, body: { handle: 'ann.1', name: 'Ann Ä' } })
  t.equal(answer.headers.get('cache-control'), 'no-store')
  const { user, device, accessToken, accessExpires } = answer.body
  t.ok(parseUserId(user))
  t.ok(parseDeviceId(device))
  t.same(await tokens.verifyAccess(String(accessToken)), {
    user,
    device,
    generation: 1,
    expires: accessExpires,
  })

  t.test(
    'I6 returns only when the record is confirmed, so that a hello right after works',
    async (t) => {
      const record = newestOf(String(user))
      t.match(record, { exists: true, version: 1, tokenGeneration: 1, handle: 'ann.1' })
      t.equal(admission(record, parseDeviceId(device)!, 1), undefined)
    },
  )

  t.test('a handle is taken whatever its case', async (t) => {
    const again = { handle: 'aNN.1', password: PASSWORD }
    t.match(await call('POST', '/v1/register', { body: again }), {
      status: 409,
      body: { error: 'exists' },
    })
  })

  t.test(
    'I6 is taken back when the record does not get through, and can be tried again',
    async (t) => {
      const body = { handle: 'unlucky', password: PASSWORD }
      inbox.down = true
      const refused = await call('POST', '/v1/register', { body })
      inbox.down = false
      t.match(refused, { status: 503, body: { error: 'unavailable', retryAfterMs: Number } })
      t.ok(Number(refused.headers.get('retry-after')) >= 1)
      t.match(await call('POST', '/v1/register', { body }), { status: 201 })
    },
  )
})

t.test('login', async (t) => {
  const first = await register(api, 'bob')
  const answer = await call('POST', '/v1/login', {
    body: { handle: 'BOB', password: PASSWORD, device: 'desk' },
  })
  t.match(answer, { status: 200, body: { user: first.user, handle: 'bob', name: 'bob' } })
  t.not(answer.body.device, first.device, 'N6 a login is a new device')
  t.match(newestOf(first.user)?.devices.length, 2, 'I6 confirmed before it returned')

  t.test('a wrong password and an unknown handle look the same, and cost the same', async (t) => {
    const before = hashed.verify
    const wrong = await call('POST', '/v1/login', {
      body: { handle: 'bob', password: 'wrong horse' },
    })
    t.equal(hashed.verify, before + 1)
    const nobody = await call('POST', '/v1/login', {
      body: { handle: 'nobody', password: PASSWORD },
    })
    t.equal(hashed.verify, before + 2, 'a hash is computed for nobody, too')
    t.match(wrong, unauthorized)
    t.equal(nobody.status, wrong.status)
    t.equal(nobody.text, wrong.text)
  })

  t.test('past the limit it names the devices, and one can be replaced', async (t) => {
    await login(api, 'bob')
    const body = { handle: 'bob', password: PASSWORD }
    const full = await call('POST', '/v1/login', { body })
    t.match(full, { status: 403, body: { error: 'limit', message: String } })
    const listed = full.body.devices as { device: string; name: string }[]
    t.same(listed.map(({ name }) => name).sort(), ['desk', 'device', 'device'])
    const strange = await call('POST', '/v1/login', { body: { ...body, replace: 'vNobodys' } })
    t.match(strange, { status: 403, body: { error: 'limit' } })
    const replaced = await call('POST', '/v1/login', { body: { ...body, replace: first.device } })
    t.equal(replaced.status, 200)
    t.match(await call('GET', '/v1/devices', { token: first.accessToken }), {
      status: 401,
      body: { error: 'device_removed' },
    })
  })

  t.test('I6 leaves no device behind when the record does not get through', async (t) => {
    const { accessToken } = await register(api, 'bill')
    inbox.down = true
    const refused = await call('POST', '/v1/login', {
      body: { handle: 'bill', password: PASSWORD },
    })
    inbox.down = false
    t.match(refused, { status: 503, body: { error: 'unavailable' } })
    const { body } = await call('GET', '/v1/devices', { token: accessToken })
    t.equal((body.devices as unknown[]).length, 1)
  })
})

t.test('devices', async (t) => {
  const phone = await register(api, 'carol')
  const desk = await login(api, 'carol')
  const token = phone.accessToken
  const { body } = await call('GET', '/v1/devices', { token })
  // Made in the same ms they have no order.
  const named = new Map((body.devices as { device: string }[]).map((one) => [one.device, one]))
  t.equal(named.size, 2)
  t.match(named.get(phone.device), { name: 'device', current: true })
  t.match(named.get(desk.device), { current: false })

  t.test('a removed device: its token is refused at once, its user actor is told', async (t) => {
    t.match(await call('DELETE', `/v1/devices/${desk.device}`, { token }), { status: 204 })
    const record = newestOf(phone.user)
    t.equal(admission(record, parseDeviceId(desk.device)!, 1), 'device_removed')
    t.equal(admission(record, parseDeviceId(phone.device)!, 1), undefined)
    t.match(await call('GET', '/v1/profile', { token: desk.accessToken }), {
      status: 401,
      body: { error: 'device_removed' },
    })
    t.match(await call('POST', '/v1/refresh', { body: { refreshToken: desk.refreshToken } }), {
      status: 401,
      body: { error: 'device_removed' },
    })
    t.match(await call('DELETE', `/v1/devices/${desk.device}`, { token }), { status: 204 })
  })

  t.test('the device of somebody else is none', async (t) => {
    const other = await register(api, 'chris')
    for (const device of [other.device, 'vNobody', 'u*', '..%2f..', '%00']) {
      const answer = await call('DELETE', `/v1/devices/${device}`, { token })
      t.match(answer, { status: 404, body: { error: 'not_found' } }, device)
    }
    t.match(await call('GET', '/v1/devices', { token: other.accessToken }), { status: 200 })
  })

  t.test('removal holds while the inbox is down, and gets through after', async (t) => {
    const tablet = await login(api, 'carol')
    inbox.down = true
    t.match(await call('DELETE', `/v1/devices/${tablet.device}`, { token }), { status: 204 })
    inbox.down = false
    await eventually('the user actor is told', () =>
      newestOf(phone.user)?.devices.some((one) => one.device === tablet.device && one.removed),
    )
  })
})

t.test('logout voids every token of the device', async (t) => {
  const { user, device, accessToken, refreshToken } = await register(api, 'dave')
  t.match(await call('POST', '/v1/logout', { token: accessToken }), { status: 204, text: '' })
  const removed = { status: 401, body: { error: 'device_removed' } }
  t.match(await call('GET', '/v1/profile', { token: accessToken }), removed)
  t.match(await call('POST', '/v1/refresh', { body: { refreshToken } }), removed)
  t.equal(admission(newestOf(user), parseDeviceId(device)!, 1), 'device_removed')
})

t.test('refresh', async (t) => {
  const refresh = (refreshToken: string, attempt?: string) =>
    call('POST', '/v1/refresh', {
      body: { refreshToken, ...(attempt === undefined ? {} : { attempt }) },
    })

  t.test('gives new tokens for the same device, again and again', async (t) => {
    const first = await register(api, 'erin')
    let { refreshToken } = first
    for (let turn = 0; turn < 3; turn++) {
      api.pass(60_000)
      const { status, body } = await refresh(refreshToken)
      t.equal(status, 200)
      t.match(body, { user: first.user, device: first.device })
      t.not(body.refreshToken, refreshToken)
      t.match(await tokens.verifyAccess(String(body.accessToken)), { device: first.device })
      refreshToken = String(body.refreshToken)
    }
  })

  t.test('a token used twice ends the device, whoever has the newest', async (t) => {
    const first = await register(api, 'eve')
    const { body } = await refresh(first.refreshToken)
    t.match(await refresh(first.refreshToken), unauthorized)
    t.match(await refresh(String(body.refreshToken)), { status: 401 })
    t.match(await call('GET', '/v1/profile', { token: String(body.accessToken) }), {
      status: 401,
      body: { error: 'device_removed' },
    })
    await eventually('the user actor is told', () =>
      newestOf(first.user)?.devices.every((device) => device.removed),
    )
  })

  t.test('a lost answer can be asked for again by the same attempt', async (t) => {
    const first = await register(api, 'ezra')
    const attempt = 'attempt-0123456789'
    const lost = await refresh(first.refreshToken, attempt)
    const found = await refresh(first.refreshToken, attempt)
    t.equal(found.status, 200)
    t.equal(found.body.refreshToken, lost.body.refreshToken)
    t.match(await refresh(String(found.body.refreshToken)), { status: 200 })
    t.match(await refresh(first.refreshToken, attempt), unauthorized)
  })

  t.test('a token that is none, or none any more, is refused', async (t) => {
    const { refreshToken, accessToken } = await register(api, 'esme')
    const flipped =
      refreshToken.slice(0, 9) + (refreshToken[9] === 'A' ? 'B' : 'A') + refreshToken.slice(10)
    for (const text of ['', 'x', flipped, accessToken, `${refreshToken}=`]) {
      t.match(await refresh(text), unauthorized)
    }
    t.match(await refresh(refreshToken), { status: 200 }, 'none of these ended the device')
    const late = await register(api, 'ella')
    api.pass(30 * 24 * 3_600_000)
    t.match(await refresh(late.refreshToken), unauthorized)
  })
})

t.test('an access token ends in time', async (t) => {
  const { accessToken } = await register(api, 'fay')
  api.pass(15 * 60_000 + 1000)
  t.match(await call('GET', '/v1/profile', { token: accessToken }), {
    status: 401,
    body: { error: 'token_expired' },
  })
})

t.test('a new password', async (t) => {
  const phone = await register(api, 'gina')
  const desk = await login(api, 'gina')
  const resume = tokens.signResume({
    user: parseUserId(phone.user)!,
    device: parseDeviceId(phone.device)!,
    generation: 1,
  })
  const body = { password: PASSWORD, newPassword: 'battery staple' }
  t.match(
    await call('POST', '/v1/password', {
      token: phone.accessToken,
      body: { ...body, password: 'wrong horse' },
    }),
    { status: 403, body: { error: 'forbidden' } },
  )
  const answer = await call('POST', '/v1/password', { token: phone.accessToken, body })
  t.match(answer, { status: 200, body: { user: phone.user, device: phone.device, handle: 'gina' } })

  t.match(await call('GET', '/v1/profile', { token: phone.accessToken }), unauthorized)
  t.match(await call('GET', '/v1/profile', { token: desk.accessToken }), { status: 401 })
  t.match(await call('POST', '/v1/refresh', { body: { refreshToken: desk.refreshToken } }), {
    status: 401,
  })
  t.match(await call('GET', '/v1/profile', { token: String(answer.body.accessToken) }), {
    status: 200,
  })
  t.match(await call('POST', '/v1/refresh', { body: { refreshToken: answer.body.refreshToken } }), {
    status: 200,
  })
  t.match(await call('POST', '/v1/login', { body: { handle: 'gina', password: PASSWORD } }), {
    status: 401,
  })
  t.match(
    await call('POST', '/v1/login', { body: { handle: 'gina', password: 'battery staple' } }),
    { status: 200 },
  )

  const record = newestOf(phone.user)
  const verified = tokens.verifyResume(resume)
  t.match(verified, { generation: 1 }, 'the signature is still good')
  const own = parseDeviceId(phone.device)!
  t.equal(admission(record, own, 1), 'unauthorized')
  t.equal(admission(record, own, 2), undefined)
})

t.test('profile', async (t) => {
  const { user, accessToken: token } = await register(api, 'hugo')
  const { body } = await call('GET', '/v1/profile', { token })
  t.match(body, { user, handle: 'hugo', name: 'hugo', created: Number })
  t.match(await call('PATCH', '/v1/profile', { token, body: { name: ' Hugo H. ' } }), {
    status: 200,
    body: { user, handle: 'hugo', name: 'Hugo H.' },
  })
  t.match((await call('GET', '/v1/profile', { token })).body, { name: 'Hugo H.' })
  await eventually('I6 the user actor is told', () => newestOf(user)?.version === 2)
  const bad = ['', '  ', 'a\nb', 'a\u0000b', 'a\u202eb', '\ud800']
  for (const name of bad) {
    const answer = await call('PATCH', '/v1/profile', { token, body: { name } })
    t.match(answer, { status: 400, body: { error: 'bad_request' } })
  }
})

t.test('looking up', async (t) => {
  const ida = await register(api, 'ida')
  const ivan = await register(api, 'ivan')
  const token = ida.accessToken
  t.same((await call('GET', '/v1/users/IVAN', { token })).body, {
    user: ivan.user,
    handle: 'ivan',
    name: 'ivan',
  })
  for (const handle of ['nobody', 'iva', 'iva%25', 'iv_n', '%00', 'ivan%20', '%F0%9F%98%80']) {
    const answer = await call('GET', `/v1/users/${handle}`, { token })
    t.match(answer, { status: 404, body: { error: 'not_found' } }, handle)
  }
  const { body } = await call('GET', `/v1/users?ids=${ivan.user},${ida.user},uNobody`, { token })
  t.same(
    new Set((body.users as { handle: string }[]).map(({ handle }) => handle)),
    new Set(['ida', 'ivan']),
  )
  const many = Array(101).fill(ida.user).join(',')
  for (const ids of ['', 'x', `${ida.user},`, 'u*', `${ida.user};DROP`, many]) {
    const answer = await call('GET', `/v1/users?ids=${ids}`, { token })
    t.match(answer, { status: 400, body: { error: 'bad_request' } }, ids.slice(0, 40))
  }
  t.match(await call('GET', '/v1/users', { token }), { status: 400 })
})

t.test('routes for people who are logged in refuse everybody else', async (t) => {
  const { accessToken, refreshToken, user, device } = await register(api, 'jane')
  const identity = { user: parseUserId(user)!, device: parseDeviceId(device)!, generation: 1 }
  const stranger = await tokens.signAccess({ ...identity, device: parseDeviceId('vStranger')! })
  const future = await tokens.signAccess({ ...identity, generation: 2 })
  const none = accessToken.split('.')
  none[0] = Buffer.from('{"alg":"none"}').toString('base64url')
  const wrong = [
    ['no token', {}],
    ['a refresh token', { authorization: `Bearer ${refreshToken}` }],
    ['a resume token', { authorization: `Bearer ${tokens.signResume(identity)}` }],
    ['another scheme', { authorization: `Basic ${accessToken}` }],
    ['two tokens', { authorization: `Bearer ${accessToken} ${accessToken}` }],
    ['alg none', { authorization: `Bearer ${none.join('.')}` }],
    ['a device that never was', { authorization: `Bearer ${stranger.token}` }],
    ['another generation', { authorization: `Bearer ${future.token}` }],
  ] as const
  const routes = [
    ['GET', '/v1/profile', undefined],
    ['PATCH', '/v1/profile', { name: 'x' }],
    ['GET', '/v1/devices', undefined],
    ['DELETE', `/v1/devices/${device}`, undefined],
    ['POST', '/v1/logout', undefined],
    ['POST', '/v1/password', { password: PASSWORD, newPassword: 'battery staple' }],
    ['GET', '/v1/users/jane', undefined],
    ['GET', `/v1/users?ids=${user}`, undefined],
  ] as const
  for (const [method, path, body] of routes) {
    for (const [what, headers] of wrong) {
      const answer = await call(method, path, { headers, ...(body && { body }) })
      t.match(answer, unauthorized, `${method} ${path} with ${what}`)
    }
  }
  t.match(await call('GET', '/v1/profile', { token: accessToken }), { status: 200 })
})

t.test('gateways: the least loaded that does not drain, and others to fall back on', async (t) => {
  t.match(await call('GET', '/v1/gateway'), { status: 503, body: { error: 'unavailable' } })
  api.gateways.push(
    { url: 'ws://a', load: 5, draining: false },
    { url: 'ws://b', load: 1, draining: true },
    { url: 'ws://c', load: 2, draining: false },
    { url: 'ws://d', load: 3, draining: false },
    { url: 'ws://e', load: 9, draining: false },
    { url: 'ws://f', load: 7, draining: false },
  )
  t.same((await call('GET', '/v1/gateway')).body, {
    url: 'ws://c',
    alternatives: ['ws://d', 'ws://a', 'ws://f'],
  })
})
