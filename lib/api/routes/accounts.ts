/** Register, log in, change the password: what needs a password. */
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { ParleyError } from '../../errors.ts'
import { newUserId, parseDeviceId } from '../../ids.ts'
import { BEARER_SECURITY, signedIn, whoAsks } from '../identity.ts'
import { limitBy, perAddress } from '../limits.ts'
import type { ApiParts, App } from '../parts.ts'
import { accepted, REFUSALS, RefusalBody } from '../refusals.ts'
import { freshDevice, rowOf, sessionReply } from '../sessions.ts'
import { DeviceItem, LoginBody, PasswordBody, RegisterBody, SessionReply } from '../shapes.ts'
import { PASSWORD_BYTES, parseHandle, parseName, parsePassword } from '../text.ts'

const WRONG = 'Handle or password is wrong.'

const must = <T>(value: T | undefined, message: string): T => {
  if (value === undefined) throw new ParleyError('bad_request', { detail: message })
  return value
}
const mustHandle = (text: string) =>
  must(parseHandle(text), 'A handle is 3 to 30 letters, digits, `_` or `.`.')
const mustName = (text: string) => must(parseName(text), 'This cannot be a name.')
const mustPassword = (text: string) =>
  must(
    parsePassword(text),
    `A password has ${PASSWORD_BYTES.least} to ${PASSWORD_BYTES.most} bytes.`,
  )

const LimitRefusal = Type.Object(
  { ...RefusalBody.properties, devices: Type.Optional(Type.Array(DeviceItem)) },
  { description: 'Refused; with `limit`, the devices of which one may be replaced' },
)

export const accountRoutes = (app: App, parts: ApiParts): void => {
  const { directory, passwords, outbox, clock, config } = parts
  const perHandle = limitBy(app, config.rates.loginPerHandle, handleOf)

  app.post(
    '/v1/register',
    {
      config: perAddress(config.rates.registerPerAddress),
      schema: {
        summary: 'Makes an account and logs its first device in',
        tags: ['account'],
        body: RegisterBody,
        response: { 201: SessionReply, ...REFUSALS },
      },
    },
    async ({ body }, reply) => {
      const handle = mustHandle(body.handle)
      const name = mustName(body.name ?? handle)
      const made = freshDevice(parts, mustName(body.device ?? 'device'))
      const passwordHash = await passwords.hash(mustPassword(body.password))
      const account = { user: newUserId(), handle, name, passwordHash, device: made.row }
      const grant = accepted(await directory.register(account, clock.now()))
      if (!(await outbox.confirm(grant.user, config.confirmMs))) {
        await directory.unregister(grant.user)
        throw new ParleyError('unavailable', { retryAfterMs: 1_000 })
      }
      return reply.code(201).send(await sessionReply(parts, grant, made, account))
    },
  )

  app.post(
    '/v1/login',
    {
      config: perAddress(config.rates.loginPerAddress),
      schema: {
        summary: 'Logs a new device in',
        tags: ['account'],
        body: LoginBody,
        response: { 200: SessionReply, 403: LimitRefusal, ...REFUSALS },
      },
      preHandler: perHandle,
    },
    async ({ body }, reply) => {
      const made = freshDevice(parts, mustName(body.device ?? 'device'))
      const credentials = await directory.credentials(mustHandle(body.handle))
      // One check for everybody: how long it takes says nothing about who exists.
      const right = await passwords.verify(
        credentials?.passwordHash,
        body.password.normalize('NFC'),
      )
      if (credentials === undefined || !right) {
        throw new ParleyError('unauthorized', { detail: WRONG })
      }
      const { user, generation } = credentials
      const replaces = parseDeviceId(body.replace)
      const login = { user, generation, device: made.row, ...(replaces && { replaces }) }
      const result = await directory.login(login, clock.now())
      if ('refused' in result && result.refused === 'limit') {
        const message =
          'All devices of this account are in use: remove one, or name it in `replace`.'
        const devices = await directory.devices(user)
        return reply.code(403).send({ error: 'limit', message, devices })
      }
      const grant = accepted(result)
      if (!(await outbox.confirm(user, config.confirmMs))) {
        await directory.removeDevice(user, grant.device, clock.now())
        throw new ParleyError('unavailable', { retryAfterMs: 1_000 })
      }
      return reply.code(200).send(await sessionReply(parts, grant, made, credentials))
    },
  )

  const perUser = limitBy(app, config.rates.loginPerHandle, (request) => whoAsks(request).user)
  app.post(
    '/v1/password',
    {
      config: perAddress(config.rates.loginPerAddress),
      schema: {
        summary: 'Changes the password; all other devices are removed, this one gets new tokens',
        tags: ['account'],
        security: BEARER_SECURITY,
        body: PasswordBody,
        response: { 200: SessionReply, ...REFUSALS },
      },
      preValidation: signedIn(parts),
      preHandler: perUser,
    },
    async (request) => {
      const was = whoAsks(request)
      const { password, newPassword } = request.body
      const next = mustPassword(newPassword)
      const [profile] = await directory.profiles([was.user])
      const credentials = profile && (await directory.credentials(profile.handle))
      const right = await passwords.verify(credentials?.passwordHash, password.normalize('NFC'))
      if (credentials === undefined || !right) {
        throw new ParleyError('forbidden', { detail: 'The password is wrong.' })
      }
      const passwordHash = await passwords.hash(next)
      const made = freshDevice(parts, '', was.device)
      const change = { was, passwordHash, refresh: rowOf(parts, made.refresh) }
      const grant = accepted(await directory.changePassword(change, clock.now()))
      // The password has changed whatever comes of this: the outbox goes on trying.
      await outbox.confirm(was.user, config.confirmMs)
      return await sessionReply(parts, grant, made, credentials)
    },
  )
}

/** The handle that a login is for: what is none cannot exist, and is counted as one. */
const handleOf = (request: FastifyRequest): string => {
  const { handle } = request.body as { handle: string }
  return parseHandle(handle) ?? ''
}
