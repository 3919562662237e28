/** Access tokens: JWTs that live for minutes, signed with Ed25519. */
import { errors, jwtVerify, SignJWT } from 'jose'
import type { Clock } from '../clock.ts'
import { type Refusal, refuse } from '../errors.ts'
import { parseDeviceId, parseUserId } from '../ids.ts'
import type { Identity, Verified } from './identity.ts'
import type { AccessKey } from './keyring.ts'

export type AccessOptions = { issuer: string; audience: string; ttlMs: number; clock: Clock }

const ALGORITHM = 'EdDSA'
/** PROTOCOL: the longest token that a `hello` may carry. */
const MOST_CHARS = 2048
const MOST_GENERATION = 0xffffffff

export const signAccess = async (
  key: AccessKey,
  options: AccessOptions,
  identity: Identity,
): Promise<{ token: string; expires: number }> => {
  const now = Math.floor(options.clock.now() / 1000)
  const expires = now + Math.floor(options.ttlMs / 1000)
  const token = await new SignJWT({ dev: identity.device, gen: identity.generation })
    .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT', kid: key.kid })
    .setSubject(identity.user)
    .setIssuer(options.issuer)
    .setAudience(options.audience)
    .setIssuedAt(now)
    .setExpirationTime(expires)
    .sign(key.private)
  return { token, expires: expires * 1000 }
}

/** The key comes from our own table by `kid` alone: nothing that a header brings along is ever used as a key. */
export const verifyAccess = async (
  keys: ReadonlyMap<string, AccessKey>,
  options: AccessOptions,
  token: string,
): Promise<Verified | Refusal> => {
  if (token.length > MOST_CHARS) return refuse('unauthorized')
  try {
    const { payload } = await jwtVerify(
      token,
      ({ kid }) => {
        const key = keys.get(kid ?? '')
        if (key === undefined) throw new errors.JWKSNoMatchingKey()
        return key.public
      },
      {
        algorithms: [ALGORITHM],
        typ: 'JWT',
        issuer: options.issuer,
        audience: options.audience,
        requiredClaims: ['sub', 'iat', 'exp'],
        currentDate: new Date(options.clock.now()),
      },
    )
    const user = parseUserId(payload.sub)
    const device = parseDeviceId(payload.dev)
    const generation = payload.gen
    if (user === undefined || device === undefined || !isGeneration(generation)) {
      return refuse('unauthorized')
    }
    return { user, device, generation, expires: payload.exp! * 1000 }
  } catch (error) {
    return refuse(error instanceof errors.JWTExpired ? 'token_expired' : 'unauthorized')
  }
}

const isGeneration = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MOST_GENERATION
