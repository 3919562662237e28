/** Who is let in, with what, and what they are told (contracts I4, I6; PROTOCOL 3, 9). */
import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import type { Test } from 'tap'
import { CLOSE } from '../../../lib/errors.ts'
import { dmId, newGroupId } from '../../../lib/ids.ts'
import { eventually } from '../../../lib/testing/eventually.ts'
import { openTokens, TOKEN_DEFAULTS } from '../../../lib/tokens/tokens.ts'
import { call, codeOf, type Device, hello, type Login } from '../device.ts'
import type { Stage } from '../stage.ts'

const SOON = { within: 30_000 }
/** A removed device is gone within 5 s (SECURITY.md) on a machine that has time; this is for one that has not. */
const GONE_MS = 20_000

const base64url = (value: object | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** How the session of a device ends. */
const endOf = async (device: Device) => {
  await eventually('the session ends', () => !device.wire.isOpen, { within: GONE_MS })
  return device.wire.closed
}

export const devicePromises = (t: Test, stage: Stage): void => {
  const { server } = stage

  t.test('I6: a removed device goes, and its valid tokens open nothing', async (t) => {
    const here = await stage.register('i6.ann')
    const there = await stage.login('i6.ann')
    const keeps = await stage.open(here)
    const goes = await stage.open(there)
    const path = `/v1/devices/${there.device}`
    t.equal((await call(server, 'DELETE', path, { token: here.accessToken })).status, 204)

    t.equal((await endOf(goes)).code, CLOSE.device_removed.number)
    for (const token of [there.accessToken, goes.welcome.resume]) {
      const { reply, closed } = await hello(server, { token })
      t.equal(codeOf(reply), 'device_removed')
      t.equal(closed?.code, CLOSE.device_removed.number)
    }
    t.equal((await call(server, 'GET', '/v1/devices', { token: there.accessToken })).status, 401)
    const { refreshToken } = there
    t.equal((await call(server, 'POST', '/v1/refresh', { body: { refreshToken } })).status, 401)
    t.equal((await keeps.wire.ask('ping', {})).name, 'pong', 'the other device is undisturbed')
    await keeps.close()
  })

  t.test('I6: a new password and a logout end what they should', async (t) => {
    const here = await stage.register('i6.bob')
    const there = await stage.login('i6.bob')
    const keeps = await stage.open(here)
    const goes = await stage.open(there)
    const body = { password: here.password, newPassword: 'another password' }
    const changed = await call(server, 'POST', '/v1/password', { body, token: here.accessToken })
    t.equal(changed.status, 200)
    t.ok((await endOf(goes)).code >= 4500, 'other devices are logged out')
    const refused = await hello(server, { token: here.accessToken })
    t.ok((refused.closed?.code ?? 0) >= 4500, 'a token from before opens nothing')
    await keeps.close()

    const now = { ...here, ...(changed.body as unknown as Login) }
    const device = await stage.open(now)
    t.equal((await call(server, 'POST', '/v1/logout', { token: now.accessToken })).status, 204)
    t.equal((await endOf(device)).code, CLOSE.device_removed.number)
  })

  t.test('a resume token opens the same device, and only while it is whole', async (t) => {
    const ann = await stage.register('resume.ann')
    const first = await stage.open(ann)
    const { resume, device } = first.welcome
    await first.close()
    const { lineage } = first
    const again = await stage.open(ann, { token: resume, lineage })
    t.match(again.welcome, { user: ann.user, device, lineage })
    await again.close()
    for (const at of [8, resume.length >> 1, resume.length - 1]) {
      const flipped = resume[at] === 'A' ? 'B' : 'A'
      const token = resume.slice(0, at) + flipped + resume.slice(at + 1)
      const { reply, closed } = await hello(server, { token })
      t.equal(codeOf(reply), 'unauthorized', `changed at ${at}`)
      t.equal(closed?.code, CLOSE.unauthorized.number)
    }
  })

  t.test('two tabs of a device stay; an outbox that comes back ends its former self', async (t) => {
    const ann = await stage.register('twice.ann')
    const first = await stage.open(ann)
    const second = await stage.open(ann)
    t.equal((await first.wire.ask('ping', {})).name, 'pong')
    t.equal((await second.wire.ask('ping', {})).name, 'pong')
    const again = await stage.open(ann, { lineage: first.welcome.lineage })
    t.equal((await endOf(first)).code, CLOSE.replaced.number)
    t.equal((await second.wire.ask('ping', {})).name, 'pong')
    await again.close()
    await second.close()
  })

  t.test('forged, foreign and expired tokens', async (t) => {
    const ann = await stage.register('token.ann')
    const [head = '', payload = '', signature = ''] = ann.accessToken.split('.')
    const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as Record<string, string>
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
    const elsewhere = await openTokens(join(server.data, 'elsewhere'), TOKEN_DEFAULTS)
    const identity = { user: ann.user, device: ann.device, generation: 1 }
    const hs256 = `${base64url({ ...header, alg: 'HS256' })}.${payload}`
    const hmac = createHmac('sha256', header.kid ?? '')
      .update(hs256)
      .digest('base64url')
    const forged: Record<string, string> = {
      nothing: '',
      'any text': 'let me in',
      'no signature': `${base64url({ ...header, alg: 'none' })}.${payload}.`,
      'no signature, in another case': `${base64url({ ...header, alg: 'NoNe' })}.${payload}.`,
      'a public key as a secret': `${hs256}.${hmac}`,
      'another user': `${head}.${base64url({ ...claims, sub: 'uSomebodyElse000' })}.${signature}`,
      'a key file of choice': `${base64url({ ...header, kid: '../../key' })}.${payload}.${signature}`,
      'a key of its own': `${base64url({ ...header, jwk: { kty: 'oct', k: 'AAAA' } })}.${payload}.${signature}`,
      'another cluster': (await elsewhere.signAccess(identity)).token,
      'a refresh token': ann.refreshToken,
      'a resume token of another cluster': elsewhere.signResume(identity),
    }
    for (const [what, token] of Object.entries(forged)) {
      const { reply, closed } = await hello(server, { token })
      t.equal(codeOf(reply), 'unauthorized', what)
      t.equal(closed?.code, CLOSE.unauthorized.number, what)
    }
    const past = { ...TOKEN_DEFAULTS, accessTtlMs: -60_000 }
    const late = await openTokens(join(server.data, 'keys'), past)
    const expired = await hello(server, { token: (await late.signAccess(identity)).token })
    t.equal(codeOf(expired.reply), 'token_expired')
    t.equal(expired.closed?.code, CLOSE.token_expired.number)
    const rest = await stage.open(ann)
    t.equal(rest.user, ann.user, 'the true one still opens')
    await rest.close()
  })

  t.test('I4: a cursor brings what changed; a wrong one the whole list', async (t) => {
    const [ann, bob, carl] = await Promise.all(
      ['i4.ann', 'i4.bob', 'i4.carl'].map((name) => stage.register(name)),
    )
    const one = await stage.open(ann!)
    const [withBob, withCarl] = [dmId(ann!.user, bob!.user), dmId(ann!.user, carl!.user)]
    await one.send(withBob, 1, 'to bob', { peer: bob!.user })
    await one.send(withCarl, 1, 'to carl', { peer: carl!.user })
    const there = await stage.login('i4.ann')
    const rooms = (device: Device) => device.welcome.changes.map(({ room }) => room)
    const known = await eventually(
      'both rooms are in the inbox',
      async () => {
        const device = await stage.open(there)
        await device.close()
        return rooms(device).length === 2 ? device.welcome.cursor : undefined
      },
      SOON,
    )

    const unchanged = await stage.open(there, { cursor: known })
    t.same(rooms(unchanged), [], 'nothing changed')
    t.equal(unchanged.welcome.full, false)
    await unchanged.close()
    await one.send(withCarl, 2, 'more', { peer: carl!.user })
    const changed = await eventually(
      'the change is told',
      async () => {
        const device = await stage.open(there, { cursor: known })
        await device.close()
        return rooms(device).length > 0 && device
      },
      SOON,
    )
    t.same(rooms(changed), [withCarl], 'only what changed')
    t.match(changed.welcome.changes[0], { head: 3, preview: 'more' })

    for (const [what, cursor] of [
      ['of another stream', { stream: 'elsewhere', position: known.position }],
      ['from the future', { stream: known.stream, position: known.position + 1e9 }],
    ] as const) {
      const device = await stage.open(there, { cursor })
      t.same(rooms(device).sort(), [withBob, withCarl].sort(), what)
      t.equal(device.welcome.full, true, what)
      await device.close()
    }
    await one.close()
  })

  t.test('a room of others is as good as none', async (t) => {
    const names = ['foreign.ann', 'foreign.bob', 'foreign.eve']
    const [ann, bob, eve] = await Promise.all(names.map((name) => stage.register(name)))
    const one = await stage.open(ann!)
    const outsider = await stage.open(eve!)
    const dm = dmId(ann!.user, bob!.user)
    const group = newGroupId()
    await one.send(dm, 1, 'between us', { peer: bob!.user })
    await one.wire.ask('create', {
      ...one.numbered(group, 1),
      ...{ title: 'Ours', openHistory: true, members: [bob!.user] },
    })
    for (const room of [dm, group, newGroupId()]) {
      const answers = [
        await outsider.wire.ask('fetch', { room, from: 1, limit: 10, back: false }),
        await outsider.wire.ask('open', { room, peer: null, lineage: null }),
        await outsider.wire.ask('open', { room, peer: bob!.user, lineage: null }),
        await outsider.wire.ask('read', { room, seq: 1, ord: 1 }),
        await outsider.send(room, 1, 'hello'),
        await outsider.wire.ask('add', { ...outsider.numbered(room, 1), users: [eve!.user] }),
        await outsider.wire.ask('leave', outsider.numbered(room, 1)),
        await outsider.wire.ask('role', {
          ...outsider.numbered(room, 1),
          user: eve!.user,
          role: 2,
        }),
      ]
      t.same(
        answers.map(codeOf),
        answers.map(() => 'not_member'),
        'the same as of a room that does not exist',
      )
    }
    t.same(outsider.wire.pushed, [], 'and nothing of it ever came')
    await one.close()
    await outsider.close()
  })
}
