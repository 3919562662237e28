import { createHmac, randomBytes, sign } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { exportJWK, exportSPKI, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose'
import t from 'tap'
import type { DeviceId, UserId } from '../ids.ts'
import type { Identity } from './identity.ts'
import { openKeyring } from './keyring.ts'
import type { RefreshToken } from './refresh.ts'
import { TOKEN_DEFAULTS, Tokens } from './tokens.ts'

const directory = await mkdtemp(join(tmpdir(), 'parley-tokens-'))
t.teardown(() => rm(directory, { recursive: true, force: true }))
const keyring = await openKeyring(directory)
const key = keyring.access[0]!

let now = 1_800_000_000_000
const clock = { now: () => now, monotonic: () => now }
const tokens = new Tokens(keyring, TOKEN_DEFAULTS, clock)
const alice: Identity = {
  user: 'uAlice0123456789' as UserId,
  device: 'vPhone0123456789abcdef' as DeviceId,
  generation: 7,
}
const seconds = () => Math.floor(now / 1000)

t.test('kinds are told apart at a glance', async (t) => {
  t.equal(tokens.kind((await tokens.signAccess(alice)).token), 'access')
  t.equal(tokens.kind(tokens.signResume(alice)), 'resume')
  t.equal(tokens.kind(tokens.firstRefresh(alice.device).token), 'refresh')
  for (const text of ['', 'x', 'RES_', '{}', '..', ' eyJ']) t.equal(tokens.kind(text), undefined)
})

t.test('an access token says who, which device, which generation and until when', async (t) => {
  const { token, expires } = await tokens.signAccess(alice)
  t.equal(expires, now + TOKEN_DEFAULTS.accessTtlMs)
  t.same(await tokens.verifyAccess(token), { ...alice, expires })
})

t.test('an access token expires, and says so', async (t) => {
  const { token } = await tokens.signAccess(alice)
  now += TOKEN_DEFAULTS.accessTtlMs - 1000
  t.match(await tokens.verifyAccess(token), { user: alice.user })
  now += 1000
  t.same(await tokens.verifyAccess(token), { refused: 'token_expired' })
})

/** A token of our key, right but for what `change` does to it. */
const crafted = (
  header: Record<string, unknown> = {},
  change: (jwt: SignJWT) => SignJWT = (jwt) => jwt,
  claims: Record<string, unknown> = {},
) =>
  change(
    new SignJWT({ sub: alice.user, dev: alice.device, gen: alice.generation, ...claims })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: key.kid, ...header })
      .setIssuer('parley')
      .setAudience('parley')
      .setIssuedAt(seconds())
      .setExpirationTime(seconds() + 60),
  ).sign(key.private)

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const refused = { refused: 'unauthorized' }

t.test(
  'the crafted token without a change is good, so that the attacks prove something',
  async (t) => {
    t.match(await tokens.verifyAccess(await crafted()), alice)
    t.match(await tokens.verifyAccess(await byHand({}, {})), alice)
  },
)

t.test('alg: none in any spelling is refused', async (t) => {
  const [, body, signature] = (await crafted()).split('.')
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '', null, undefined]) {
    for (const end of ['', signature]) {
      const token = `${encode({ alg, typ: 'JWT', kid: key.kid })}.${body}.${end}`
      t.same(await tokens.verifyAccess(token), refused, `${alg} ${end}`)
    }
  }
})

t.test('HS256 signed with the public key is refused', async (t) => {
  const [, body] = (await crafted()).split('.')
  const jwk = await exportJWK(key.public)
  const secrets = [
    await exportSPKI(key.public),
    jwk.x!,
    Buffer.from(jwk.x!, 'base64url'),
    JSON.stringify(jwk),
    key.public.export({ format: 'der', type: 'spki' }),
  ]
  for (const secret of secrets) {
    const signed = `${encode({ alg: 'HS256', typ: 'JWT', kid: key.kid })}.${body}`
    const mac = createHmac('sha256', secret).update(signed).digest('base64url')
    t.same(await tokens.verifyAccess(`${signed}.${mac}`), refused)
  }
})

t.test('other algorithms are refused, even with a good key of their kind', async (t) => {
  for (const alg of ['ES256', 'RS256', 'PS256', 'Ed25519']) {
    const pair = alg === 'Ed25519' ? undefined : await generateKeyPair(alg)
    const token = await new SignJWT({ sub: alice.user, dev: alice.device, gen: 7 })
      .setProtectedHeader({ alg, typ: 'JWT', kid: key.kid })
      .setIssuer('parley')
      .setAudience('parley')
      .setIssuedAt(seconds())
      .setExpirationTime(seconds() + 60)
      .sign(pair?.privateKey ?? key.private)
    t.same(await tokens.verifyAccess(token), refused, alg)
  }
})

t.test('kid is looked up in our own table and nowhere else', async (t) => {
  const kids = [
    '../../key',
    '../tokens.json',
    '/dev/null',
    "x' OR '1'='1",
    '__proto__',
    'constructor',
  ]
  for (const kid of [...kids, '', `${key.kid} `, key.kid.toUpperCase(), 'k'.repeat(1000)]) {
    if (kid === key.kid) continue
    t.same(await tokens.verifyAccess(await crafted({ kid })), refused, kid)
  }
  for (const kid of [undefined, null, 0, [key.kid], { toString: key.kid }]) {
    t.same(await tokens.verifyAccess(await crafted({ kid })), refused, JSON.stringify(kid))
  }
})

t.test('a key that the token brings along is not used', async (t) => {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true })
  const headers: Partial<JWTHeaderParameters>[] = [
    { jwk: await exportJWK(publicKey) },
    { jku: 'http://127.0.0.1:1/keys' },
    { x5u: 'http://127.0.0.1:1/cert' },
    { x5c: ['AAAA'] },
  ]
  for (const header of headers) {
    for (const kid of [key.kid, 'other']) {
      const token = await new SignJWT({ sub: alice.user, dev: alice.device, gen: 7 })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid, ...header })
        .setIssuer('parley')
        .setAudience('parley')
        .setIssuedAt(seconds())
        .setExpirationTime(seconds() + 60)
        .sign(privateKey)
      t.same(await tokens.verifyAccess(token), refused, JSON.stringify(header))
    }
  }
})

t.test('issuer, audience, times and claims are all checked', async (t) => {
  const wrong: [string, Promise<string>][] = [
    ['issuer', crafted({}, (jwt) => jwt.setIssuer('parley.evil'))],
    ['audience', crafted({}, (jwt) => jwt.setAudience('elsewhere'))],
    ['not before', crafted({}, (jwt) => jwt.setNotBefore(seconds() + 60))],
    ['type', crafted({ typ: 'at+jwt' })],
    ['critical header that nobody knows', byHand({ crit: ['parley'], parley: 1 }, {})],
    ['no expiry', byHand({}, { exp: undefined })],
    ['expiry as text', byHand({}, { exp: String(seconds() + 60) })],
    ['no time of issue', byHand({}, { iat: undefined })],
    ['user of another shape', crafted({}, (jwt) => jwt, { sub: 'vPhone' })],
    ['user with a wildcard', crafted({}, (jwt) => jwt, { sub: 'u*' })],
    ['no user', crafted({}, (jwt) => jwt, { sub: undefined })],
    ['device of another shape', crafted({}, (jwt) => jwt, { dev: 'u>' })],
    ['no device', crafted({}, (jwt) => jwt, { dev: undefined })],
    ['generation as text', crafted({}, (jwt) => jwt, { gen: '7' })],
    ['negative generation', crafted({}, (jwt) => jwt, { gen: -1 })],
    ['broken generation', crafted({}, (jwt) => jwt, { gen: 7.5 })],
    ['huge generation', crafted({}, (jwt) => jwt, { gen: 2 ** 53 })],
    ['no generation', crafted({}, (jwt) => jwt, { gen: undefined })],
  ]
  for (const [what, token] of wrong) {
    t.same(await tokens.verifyAccess(await token), refused, what)
  }
})

/** Signed with our key, but written by no library that could mend it. */
const byHand = async (header: Record<string, unknown>, claims: Record<string, unknown>) => {
  const body = {
    sub: alice.user,
    dev: alice.device,
    gen: alice.generation,
    iss: 'parley',
    aud: 'parley',
    iat: seconds(),
    exp: seconds() + 60,
  }
  const signed = [
    encode({ alg: 'EdDSA', typ: 'JWT', kid: key.kid, ...header }),
    encode({ ...body, ...claims }),
  ].join('.')
  return `${signed}.${sign(null, Buffer.from(signed), key.private).toString('base64url')}`
}

t.test('no single bit of an access token may change', async (t) => {
  const { token } = await tokens.signAccess(alice)
  const bits = token.split('.').map((part) => Buffer.from(part, 'base64url'))
  const accepted: string[] = []
  for (const [part, bytes] of bits.entries()) {
    for (let bit = 0; bit < bytes.length * 8; bit += 5) {
      const copy = bits.map((other) => Buffer.from(other))
      copy[part]![bit >> 3]! ^= 1 << (bit & 7)
      const text = copy.map((other) => other.toString('base64url')).join('.')
      const result = await tokens.verifyAccess(text)
      if (!('refused' in result)) accepted.push(`bit ${bit} of part ${part}`)
    }
  }
  t.same(accepted, [])
})

t.test('a token of another cluster is refused', async (t) => {
  const other = await mkdtemp(join(tmpdir(), 'parley-tokens-'))
  t.teardown(() => rm(other, { recursive: true, force: true }))
  const foreign = new Tokens(await openKeyring(other), TOKEN_DEFAULTS, clock)
  t.same(await tokens.verifyAccess((await foreign.signAccess(alice)).token), refused)
  t.same(tokens.verifyResume(foreign.signResume(alice)), refused)
  t.same(tokens.openRefresh(foreign.firstRefresh(alice.device).token), refused)
})

t.test('keys rotate: the old one still verifies until it is dropped', async (t) => {
  const fresh = await mkdtemp(join(tmpdir(), 'parley-tokens-'))
  t.teardown(() => rm(fresh, { recursive: true, force: true }))
  const next = await openKeyring(fresh)
  const seal = { ...next.seal[0]!, id: 2 }
  const both = new Tokens(
    { access: [...next.access, ...keyring.access], seal: [seal, ...keyring.seal] },
    TOKEN_DEFAULTS,
    clock,
  )
  const dropped = new Tokens({ access: next.access, seal: [seal] }, TOKEN_DEFAULTS, clock)
  const { token } = await tokens.signAccess(alice)
  const resume = tokens.signResume(alice)
  t.match(await both.verifyAccess(token), alice)
  t.match(both.verifyResume(resume), alice)
  t.match(await dropped.verifyAccess((await both.signAccess(alice)).token), alice)
  t.match(dropped.verifyResume(both.signResume(alice)), alice)
  t.same(await dropped.verifyAccess(token), refused)
  t.same(dropped.verifyResume(resume), refused)
})

t.test('a resume token carries the identity until it expires', async (t) => {
  const token = tokens.signResume(alice)
  const expires = now + TOKEN_DEFAULTS.resumeTtlMs
  t.same(tokens.verifyResume(token), { ...alice, expires })
  now = expires - 1
  t.same(tokens.verifyResume(token), { ...alice, expires })
  now = expires
  t.same(tokens.verifyResume(token), { refused: 'token_expired' })
})

t.test('no bit, byte or spelling of a resume token may change', async (t) => {
  const token = tokens.signResume(alice)
  const coded = token.slice(4)
  const bytes = Buffer.from(coded, 'base64url')
  const accepted: string[] = []
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const copy = Buffer.from(bytes)
    copy[bit >> 3]! ^= 1 << (bit & 7)
    const result = tokens.verifyResume(`res_${copy.toString('base64url')}`)
    if (!('refused' in result)) accepted.push(`bit ${bit}`)
  }
  for (let end = 0; end < token.length; end++) {
    if (!('refused' in tokens.verifyResume(token.slice(0, end)))) accepted.push(`${end} characters`)
  }
  t.same(accepted, [])
  const spellings = [
    `${token}=`,
    `${token} `,
    `${token}A`,
    `res_ ${coded}`,
    `res_${coded}\n`,
    coded,
  ]
  // The last character of base64url may hold bits that no byte takes.
  const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  for (const character of last) {
    if (!token.endsWith(character)) spellings.push(token.slice(0, -1) + character)
  }
  for (const text of spellings) t.same(tokens.verifyResume(text), refused, JSON.stringify(text))
})

t.test('one kind of token never passes for another', async (t) => {
  const resume = tokens.signResume(alice)
  const refresh = tokens.firstRefresh(alice.device).token
  const { token: access } = await tokens.signAccess(alice)
  t.same(tokens.openRefresh(resume), refused)
  t.same(tokens.openRefresh(`ref_${resume.slice(4)}`), refused)
  t.same(tokens.verifyResume(refresh), refused)
  t.same(tokens.verifyResume(`res_${refresh.slice(4)}`), refused)
  t.same(tokens.verifyResume(access), refused)
  t.same(await tokens.verifyAccess(resume), refused)
  t.same(await tokens.verifyAccess(refresh), refused)
})

t.test('garbage is refused as a value, never thrown', async (t) => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.base64String().map((body) => `res_${body}`),
    fc.base64String().map((body) => `ref_${body}`),
    fc.tuple(fc.json(), fc.json()).map(([a, b]) => `${btoa(escape(a))}.${btoa(escape(b))}.AA`),
  )
  await fc.assert(
    fc.asyncProperty(text, async (token) => {
      t.ok('refused' in tokens.verifyResume(token))
      t.ok('refused' in tokens.openRefresh(token))
      t.ok('refused' in (await tokens.verifyAccess(token)))
    }),
    { numRuns: 100 },
  )
  const long = `eyJ${'A'.repeat(1 << 20)}`
  t.same(await tokens.verifyAccess(long), refused)
  t.same(tokens.verifyResume(`res_${long}`), refused)
})

t.test('refresh tokens form a chain', async (t) => {
  const first = tokens.firstRefresh(alice.device)
  t.equal(first.n, 1)
  const opened = tokens.openRefresh(first.token)
  t.same(opened, first)
  const next = tokens.nextRefresh(opened as RefreshToken)
  t.equal(next.n, 2)
  t.equal(next.device, alice.device)
  t.same(tokens.openRefresh(next.token), next)
  t.not(tokens.firstRefresh(alice.device).token, first.token, 'they cannot be guessed')
  t.not(tokens.nextRefresh(first).token, next.token)
})

t.test('a retried attempt gets the same next token, another attempt does not', async (t) => {
  const first = tokens.firstRefresh(alice.device)
  const attempt = randomBytes(16).toString('base64url')
  const next = tokens.nextRefresh(first, attempt)
  t.same(tokens.nextRefresh(first, attempt), next)
  t.not(tokens.nextRefresh(first, `${attempt}x`).token, next.token)
  t.not(tokens.nextRefresh(tokens.firstRefresh(alice.device), attempt).token, next.token)
})
