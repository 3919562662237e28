/** Refresh, log out, list and remove devices: what needs no password. */
import { Type } from 'typebox'
import { ParleyError } from '../../errors.ts'
import { parseDeviceId } from '../../ids.ts'
import { attemptHash } from '../../tokens/refresh.ts'
import { BEARER_SECURITY, signedIn, whoAsks } from '../identity.ts'
import { perAddress } from '../limits.ts'
import type { ApiParts, App } from '../parts.ts'
import { accepted, REFUSALS } from '../refusals.ts'
import { rowOf, tokensReply } from '../sessions.ts'
import { DevicesReply, NoContent, RefreshBody, TokensReply } from '../shapes.ts'

export const deviceRoutes = (app: App, parts: ApiParts): void => {
  const { directory, tokens, outbox, clock, config } = parts

  app.post(
    '/v1/refresh',
    {
      config: perAddress(config.rates.refreshPerAddress),
      schema: {
        summary:
          'A new access token; a refresh token works once, and using an old one ends the device',
        tags: ['device'],
        body: RefreshBody,
        response: { 200: TokensReply, ...REFUSALS },
      },
    },
    async ({ body }) => {
      const { attempt } = body
      const last = accepted(tokens.openRefresh(body.refreshToken))
      const refresh = tokens.nextRefresh(last, attempt)
      const next = rowOf(parts, refresh)
      const turn = {
        device: last.device,
        n: last.n,
        hash: last.hash,
        next,
        ...(attempt === undefined ? {} : { attempt: attemptHash(attempt) }),
      }
      const result = await directory.rotate(turn, clock.now())
      // A stolen token has ended the device: its live sessions must hear of it.
      if ('refused' in result) outbox.wake()
      return await tokensReply(parts, accepted(result), refresh, next)
    },
  )

  app.post(
    '/v1/logout',
    {
      schema: {
        summary: 'Removes this device',
        tags: ['device'],
        security: BEARER_SECURITY,
        response: { 204: NoContent, ...REFUSALS },
      },
      preValidation: signedIn(parts),
    },
    async (request, reply) => {
      const { user, device } = whoAsks(request)
      await directory.removeDevice(user, device, clock.now())
      await outbox.confirm(user, config.confirmMs)
      return reply.code(204).send(null)
    },
  )

  app.get(
    '/v1/devices',
    {
      schema: {
        summary: 'All devices of this account',
        tags: ['device'],
        security: BEARER_SECURITY,
        response: { 200: DevicesReply, ...REFUSALS },
      },
      preValidation: signedIn(parts),
    },
    async (request) => {
      const { user, device } = whoAsks(request)
      const rows = await directory.devices(user)
      return { devices: rows.map((row) => ({ ...row, current: row.device === device })) }
    },
  )

  app.delete(
    '/v1/devices/:device',
    {
      schema: {
        summary: 'Removes a device: its tokens are void and its sessions end',
        tags: ['device'],
        security: BEARER_SECURITY,
        params: Type.Object({ device: Type.String({ description: 'Device id' }) }),
        response: { 204: NoContent, ...REFUSALS },
      },
      preValidation: signedIn(parts),
    },
    async (request, reply) => {
      const { user } = whoAsks(request)
      const device = parseDeviceId(request.params.device)
      if (device === undefined || !(await directory.removeDevice(user, device, clock.now()))) {
        throw new ParleyError('not_found')
      }
      await outbox.confirm(user, config.confirmMs)
      return reply.code(204).send(null)
    },
  )
}
