/** The own profile, and looking others up. */
import { Type } from 'typebox'
import { ParleyError } from '../../errors.ts'
import { parseUserId, type UserId } from '../../ids.ts'
import type { Profile } from '../../store/directory/directory.ts'
import { BEARER_SECURITY, signedIn, whoAsks } from '../identity.ts'
import { limitBy } from '../limits.ts'
import type { ApiParts, App } from '../parts.ts'
import { REFUSALS } from '../refusals.ts'
import { PeopleReply, PersonReply, ProfileBody, ProfileReply } from '../shapes.ts'
import { parseHandle, parseName } from '../text.ts'

const MOST_IDS = 100

const found = (profile: Profile | undefined): Profile => {
  if (profile === undefined) throw new ParleyError('not_found')
  return profile
}

const idsIn = (text: string): UserId[] => {
  const ids = text.split(',').map(parseUserId)
  const users = ids.filter((id) => id !== undefined)
  if (users.length < ids.length || users.length > MOST_IDS) {
    throw new ParleyError('bad_request', {
      detail: `ids are at most ${MOST_IDS} user ids with commas between them.`,
    })
  }
  return users
}

export const peopleRoutes = (app: App, parts: ApiParts): void => {
  const { directory, outbox, clock, config } = parts
  const base = { tags: ['people'], security: BEARER_SECURITY }
  const preValidation = signedIn(parts)
  const limited = {
    preValidation,
    preHandler: limitBy(app, config.rates.lookupPerUser, (request) => whoAsks(request).user),
  }

  app.get(
    '/v1/profile',
    {
      schema: {
        ...base,
        summary: 'The own profile',
        response: { 200: ProfileReply, ...REFUSALS },
      },
      preValidation,
    },
    async (request) => found((await directory.profiles([whoAsks(request).user]))[0]),
  )

  app.patch(
    '/v1/profile',
    {
      schema: {
        ...base,
        summary: 'Changes the display name',
        body: ProfileBody,
        response: { 200: ProfileReply, ...REFUSALS },
      },
      preValidation,
    },
    async (request) => {
      const name = parseName(request.body.name)
      if (name === undefined) {
        throw new ParleyError('bad_request', { detail: 'This cannot be a name.' })
      }
      const profile = await directory.rename(whoAsks(request).user, name, clock.now())
      outbox.wake()
      return found(profile)
    },
  )

  app.get(
    '/v1/users/:handle',
    {
      schema: {
        ...base,
        summary: 'A user by exact handle',
        params: Type.Object({ handle: Type.String() }),
        response: { 200: PersonReply, ...REFUSALS },
      },
      ...limited,
    },
    async (request) => {
      const handle = parseHandle(request.params.handle)
      return found(handle === undefined ? undefined : await directory.profileOf(handle))
    },
  )

  app.get(
    '/v1/users',
    {
      schema: {
        ...base,
        summary: 'Users by id; those that do not exist are left out',
        querystring: Type.Object({
          ids: Type.String({ description: `At most ${MOST_IDS}, with commas between them` }),
        }),
        response: { 200: PeopleReply, ...REFUSALS },
      },
      ...limited,
    },
    async (request) => ({ users: await directory.profiles(idsIn(request.query.ids)) }),
  )
}
