/** Who asks: an access token, and the directory's word that it is still good. */
import type { FastifyRequest } from 'fastify'
import { ParleyError } from '../errors.ts'
import type { Identity } from '../tokens/identity.ts'
import type { ApiParts } from './parts.ts'
import { accepted } from './refusals.ts'

const known = new WeakMap<FastifyRequest, Identity>()

const BEARER = /^Bearer ([\w.-]+)$/i

/** A hook for routes of people who are logged in. Errors: `unauthorized`, `token_expired`, `device_removed`. */
export const signedIn = ({ tokens, directory }: ApiParts) => {
  return async (request: FastifyRequest): Promise<void> => {
    const token = BEARER.exec(request.headers.authorization ?? '')?.[1]
    if (token === undefined || tokens.kind(token) !== 'access')
      throw new ParleyError('unauthorized')
    const identity = accepted(await tokens.verifyAccess(token))
    const standing = await directory.standing(identity.user, identity.device)
    if (standing === undefined) throw new ParleyError('unauthorized')
    if (standing.removed) throw new ParleyError('device_removed')
    if (standing.generation !== identity.generation) throw new ParleyError('unauthorized')
    known.set(request, identity)
  }
}

/** Who asks, behind that hook. */
export const whoAsks = (request: FastifyRequest): Identity => {
  const identity = known.get(request)
  if (identity === undefined) throw new Error('this route has no signedIn hook')
  return identity
}

/** The documentation's name for it. */
export const BEARER_SECURITY = [{ accessToken: [] }]
