/** What the API does with floods, strangers' web pages, garbage, and its own end. */
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { Api } from './api.ts'
import { API_DEFAULTS } from './config.ts'
import { callAt, NO_LIMITS, PASSWORD, register, startTestApi } from './fixture.ts'

const observed: string[] = []
let othersReady = true
const api = await startTestApi(
  {
    origins: ['https://chat.example'],
    trustProxy: ['127.0.0.1'],
    rates: {
      ...NO_LIMITS,
      perAddress: 20,
      registerPerAddress: 4,
      loginPerAddress: 6,
      loginPerHandle: 3,
      lookupPerUser: 5,
    },
  },
  {
    ready: () => othersReady,
    metrics: { contentType: 'text/plain; version=0.0.4', text: async () => 'up 1\n' },
    observe: (route, status) => void observed.push(`${route} ${status}`),
  },
)
t.teardown(api.stop)
const { call } = api

let addresses = 0
/** Every test comes from an address of its own, as the proxy tells. */
const from = (address = `10.0.${++addresses}.1`) => ({ headers: { 'x-forwarded-for': address } })

const tooMany = { status: 429, body: { error: 'rate', message: String, retryAfterMs: Number } }

t.test('requests are limited by address', async (t) => {
  const ask = from()
  for (let i = 0; i < 20; i++) t.match(await call('GET', '/v1/gateway', ask), { status: 503 })
  const refused = await call('GET', '/v1/gateway', ask)
  t.match(refused, tooMany)
  t.ok(Number(refused.headers.get('retry-after')) >= 1)
  t.match(await call('GET', '/nowhere', ask), tooMany, 'what is not there counts, too')
  t.match(await call('GET', '/v1/gateway', from()), { status: 503 }, 'others are not affected')
  t.match(await call('GET', '/health', ask), { status: 200 })
})

t.test('an IPv6 network is one address', async (t) => {
  for (let i = 0; i < 20; i++) await call('GET', '/v1/gateway', from(`2001:db8:1:2::${i + 1}`))
  t.match(await call('GET', '/v1/gateway', from('2001:db8:1:2:ffff::1')), tooMany)
  t.match(await call('GET', '/v1/gateway', from('2001:db8:1:3::1')), { status: 503 })
})

t.test('registrations are limited by address', async (t) => {
  const ask = from()
  for (let i = 0; i < 4; i++) {
    const body = { handle: `many${i}`, password: PASSWORD }
    t.match(await call('POST', '/v1/register', { ...ask, body }), { status: 201 })
  }
  const before = api.hashed.hash
  const body = { handle: 'many4', password: PASSWORD }
  t.match(await call('POST', '/v1/register', { ...ask, body }), tooMany)
  t.equal(api.hashed.hash, before, 'no password is hashed for it')
})

t.test('logins are limited by address, and by handle from wherever', async (t) => {
  await call('POST', '/v1/register', { ...from(), body: { handle: 'victim', password: PASSWORD } })
  const guess = (handle: string, ask = from()) =>
    call('POST', '/v1/login', { ...ask, body: { handle, password: 'guess guess' } })
  const ask = from()
  for (let i = 0; i < 6; i++) t.match(await guess(`guess${i}`, ask), { status: 401 })
  t.match(await guess('guess6', ask), tooMany)

  for (let i = 0; i < 3; i++) t.match(await guess(i % 2 ? 'VICTIM' : 'victim'), { status: 401 })
  const before = api.hashed.verify
  t.match(await guess('victim'), tooMany)
  for (let i = 0; i < 3; i++) t.match(await guess('nobody'), { status: 401 })
  t.match(await guess('nobody'), tooMany, 'the limit does not tell who exists')
  t.equal(api.hashed.verify, before + 3, 'no password is checked past it')
})

t.test('looking up users is limited by user, not by address', async (t) => {
  const { accessToken: token } = await registerFrom('looker')
  for (let i = 0; i < 5; i++) {
    t.match(await call('GET', `/v1/users/nobody${i}`, { ...from(), token }), { status: 404 })
  }
  t.match(await call('GET', '/v1/users/nobody', { ...from(), token }), tooMany)
})

const registerFrom = (handle: string) => {
  const ask = from()
  return register(
    { ...api, call: (method, path, more) => call(method, path, { ...ask, ...more }) },
    handle,
  )
}

t.test('web pages of allowed origins may call, others may not', async (t) => {
  const allowed = async (origin: string) => {
    const { headers } = await call('GET', '/health', { headers: { origin } })
    return headers.get('access-control-allow-origin')
  }
  t.equal(await allowed('https://chat.example'), 'https://chat.example')
  const strangers = [
    'null',
    'https://chat.example.evil.tld',
    'https://evilchat.example',
    'https://CHAT.example',
    'https://chat.example:8443',
    'http://chat.example',
    'https://chat.example/',
    'https://sub.chat.example',
  ]
  for (const origin of strangers) t.not(await allowed(origin), origin, origin)
  for (const origin of strangers) t.not(await allowed(origin), '*', origin)

  const preflight = await call('OPTIONS', '/v1/login', {
    headers: {
      origin: 'https://chat.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,authorization',
    },
  })
  t.equal(preflight.status, 204)
  t.match(preflight.headers.get('access-control-allow-methods'), /POST/)
  t.match(preflight.headers.get('access-control-allow-headers'), /authorization/)
  t.notOk(preflight.headers.get('access-control-allow-credentials'))
})

t.test('bad bodies are refused in one shape', async (t) => {
  const good = { handle: 'someone', password: PASSWORD }
  const bodies: [string, number, string?][] = [
    ['', 400],
    ['{', 400],
    ['null', 400],
    ['[]', 400],
    ['"x"', 400],
    ['{}', 400],
    [JSON.stringify({ ...good, handle: 7 }), 400],
    [JSON.stringify({ ...good, handle: ['someone'] }), 400],
    [JSON.stringify({ ...good, handle: 'a' }), 400],
    [JSON.stringify({ ...good, handle: "x' OR '1'='1" }), 400],
    [JSON.stringify({ ...good, handle: 'wild*card' }), 400],
    [JSON.stringify({ ...good, handle: 'nul\0char' }), 400],
    [JSON.stringify({ ...good, password: 'short' }), 400],
    [JSON.stringify({ ...good, password: 'x'.repeat(257) }), 400],
    [JSON.stringify({ ...good, password: '語'.repeat(86) }), 400],
    [JSON.stringify({ ...good, password: null }), 400],
    [JSON.stringify({ ...good, name: 'x'.repeat(257) }), 400],
    [JSON.stringify({ ...good, name: 'a\u0000b' }), 400],
    [JSON.stringify({ ...good, device: '\n' }), 400],
    ['{"handle":"someone","password":"\\ud800 1234567890"}', 400],
    ['{"__proto__":{"admin":true},"handle":"someone","password":"correct horse"}', 400],
    ['{"constructor":{"prototype":{"admin":true}},"handle":"someone"}', 400],
    ['['.repeat(8000), 400],
    [JSON.stringify({ ...good, pad: 'x'.repeat(API_DEFAULTS.bodyLimit) }), 413, 'too_large'],
  ]
  for (const [raw, status, error = 'bad_request'] of bodies) {
    const answer = await call('POST', '/v1/register', { ...from(), raw })
    t.match(answer, { status, body: { error, message: String } }, raw.slice(0, 60))
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
    const headers = { ...from().headers, 'content-type': type }
    const answer = await call('POST', '/v1/login', { headers, raw: JSON.stringify(good) })
    t.match(answer, { status: 415, body: { error: 'bad_request' } }, type)
  }
  t.match(
    await call('POST', '/v1/login', { ...from(), body: good }),
    { status: 401 },
    'none of them made an account',
  )
})

t.test('bad paths are refused in one shape', async (t) => {
  const paths = ['/', '/v1', '/v1/users/', '/v1/%zz', `/v1/users/${'x'.repeat(5000)}`, '/v1/../..']
  for (const path of [
    ...paths,
    '//evil.example/',
    '/docs/../../package.json',
    '/v1/users/%2e%2e',
  ]) {
    const { status, body } = await call('GET', path, from())
    t.ok([400, 401, 404, 414].includes(status), `${path.slice(0, 40)} ${status}`)
    t.match(body, { error: String, message: String })
  }
  t.match(await call('PUT', '/v1/login', { ...from(), body: {} }), { status: 404 })
})

/** What the server says to bytes that no HTTP client would send, until it hangs up. */
const raw = async (bytes: string): Promise<string> => {
  const { hostname, port } = new URL(api.url)
  const socket = connect(Number(port), hostname)
  socket.setEncoding('latin1')
  let answer = ''
  socket.on('data', (text: string) => {
    answer += text
  })
  socket.on('error', () => undefined)
  socket.write(bytes)
  await once(socket, 'close')
  return answer
}

t.test('what is not HTTP is answered in the same shape, and the connection ends', async (t) => {
  const headers = Array.from({ length: 2000 }, (_, i) => `x-${i}: 1`).join('\r\n')
  const cases: [string, RegExp][] = [
    ['\x16\x03\x01\x02\x00\x01\x00\x01', /^HTTP\/1.1 400 /],
    ['GET / HTTP/9.9\r\n\r\n', /^HTTP\/1.1 400 /],
    [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(65_536)}\r\n\r\n`, /^HTTP\/1.1 431 /],
    ['POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n', /^HTTP\/1.1 400 /],
    [
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      /^HTTP\/1.1 400 /,
    ],
    [
      `GET /health HTTP/1.1\r\nhost: x\r\n${headers}\r\nconnection: close\r\n\r\n`,
      /^HTTP\/1.1 \d{3} /,
    ],
  ]
  for (const [bytes, status] of cases) {
    const answer = await raw(bytes)
    t.match(answer, status, encodeURIComponent(bytes.slice(0, 30)))
    const body = answer.slice(answer.indexOf('\r\n\r\n') + 4)
    t.type(JSON.parse(body), 'object')
  }
  t.match(await call('GET', '/health'), { status: 200 }, 'it is as well as before')
})

t.test('the API describes itself', async (t) => {
  const { body } = await call('GET', '/openapi.json', from())
  t.match(body, { openapi: '3.1.0', info: { title: 'Parley' } })
  const paths = body.paths as Record<string, Record<string, { responses: object }>>
  t.ok(Object.keys(paths).length >= 12)
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { responses }] of Object.entries(methods)) {
      if (!path.startsWith('/v1/')) continue
      t.ok('4XX' in responses || '4xx' in responses, `${method} ${path} may be refused`)
    }
  }
  const docs = await call('GET', '/docs', from())
  t.equal(docs.status, 200)
  t.match(docs.text, /swagger/i)
})

t.test('health, readiness and metrics', async (t) => {
  t.match(await call('GET', '/ready'), { status: 200, body: { status: 'ready' } })
  othersReady = false
  t.match(await call('GET', '/ready'), { status: 503, body: { error: 'unavailable' } })
  t.match(await call('GET', '/health'), { status: 200, body: { status: 'ok' } })
  othersReady = true
  const metrics = await call('GET', '/metrics')
  t.equal(metrics.text, 'up 1\n')
  t.equal(metrics.headers.get('content-type'), 'text/plain; version=0.0.4')
  t.ok(observed.includes('/ready 503'))
  t.ok(observed.includes('/v1/users/:handle 404'), 'by route, never by what was asked')
  t.notMatch(observed.join(' '), /nobody/)
})

t.test('no password or token is ever logged', async (t) => {
  const { accessToken, refreshToken } = await registerFrom('logged')
  await call('GET', '/v1/profile', { ...from(), token: accessToken })
  const text = JSON.stringify(api.logged)
  for (const secret of [PASSWORD, 'guess guess', accessToken, refreshToken]) {
    t.notOk(text.includes(secret))
  }
})

t.test('a port that is taken is refused, with the reason', async (t) => {
  const config = { ...api.parts.config, port: Number(new URL(api.url).port) }
  const second = new Api({ ...api.parts, config })
  await t.rejects(second.start(new AbortController().signal), {
    code: 'unavailable',
    message: /is taken/,
  })
  await second.drain(0)
})

t.test('a store that fails is a refusal, and draining ends even idle connections', async (t) => {
  const { url } = api
  const { accessToken: token } = await registerFrom('last')
  await api.store.close()
  t.match(await call('GET', '/v1/profile', { ...from(), token }), {
    status: 503,
    body: { error: 'unavailable' },
  })
  const login = { handle: 'last', password: PASSWORD }
  t.match(await call('POST', '/v1/login', { ...from(), body: login }), { status: 503 })
  t.match(await call('GET', '/ready'), { status: 503 })
  t.match(await call('GET', '/health'), { status: 200 })
  await api.stop()
  await t.rejects(callAt(url)('GET', '/health'))
})
