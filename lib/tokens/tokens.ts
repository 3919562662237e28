/**
 * All tokens of Parley, by kind. What they prove is who signed them; whether the device still exists and the
 * generation is current is the user actor's to say (contracts I6), and the directory's in the API.
 */
import { type Clock, systemClock } from '../clock.ts'
import { type Refusal, refuse } from '../errors.ts'
import type { DeviceId } from '../ids.ts'
import { type AccessOptions, signAccess, verifyAccess } from './access.ts'
import type { Identity, Verified } from './identity.ts'
import { type AccessKey, type Keyring, openKeyring } from './keyring.ts'
import { firstRefresh, nextRefresh, openRefresh, type RefreshToken } from './refresh.ts'
import { decodeResume, encodeResume } from './resume.ts'
import { makeSeal, type Seal } from './seal.ts'

export type TokenOptions = {
  readonly issuer: string
  readonly audience: string
  readonly accessTtlMs: number
  readonly resumeTtlMs: number
}

export const TOKEN_DEFAULTS: TokenOptions = {
  issuer: 'parley',
  audience: 'parley',
  accessTtlMs: 15 * 60_000,
  resumeTtlMs: 24 * 3_600_000,
}

const PREFIX = { resume: 'res_', refresh: 'ref_' } as const

/** What a token claims to be; it proves nothing, only which of the `verify…` to ask. */
export const kindOf = (token: string): 'access' | 'resume' | 'refresh' | undefined => {
  if (token.startsWith(PREFIX.resume)) return 'resume'
  if (token.startsWith(PREFIX.refresh)) return 'refresh'
  return token.startsWith('eyJ') ? 'access' : undefined
}

export class Tokens {
  readonly options: TokenOptions
  readonly #clock: Clock
  readonly #access: AccessOptions
  readonly #signing: AccessKey
  readonly #keys: ReadonlyMap<string, AccessKey>
  readonly #resume: Seal
  readonly #refresh: Seal

  constructor(keyring: Keyring, options: TokenOptions = TOKEN_DEFAULTS, clock = systemClock) {
    this.options = options
    this.#clock = clock
    this.#access = {
      issuer: options.issuer,
      audience: options.audience,
      ttlMs: options.accessTtlMs,
      clock,
    }
    this.#signing = keyring.access[0]!
    this.#keys = new Map(keyring.access.map((key) => [key.kid, key]))
    this.#resume = makeSeal(keyring.seal, PREFIX.resume, 'resume')
    this.#refresh = makeSeal(keyring.seal, PREFIX.refresh, 'refresh')
  }

  kind(token: string) {
    return kindOf(token)
  }

  /** A JWT with claims sub (user), dev (device), gen (generation); `expires` in ms. */
  signAccess(identity: Identity): Promise<{ token: string; expires: number }> {
    return signAccess(this.#signing, this.#access, identity)
  }

  /** Refusals: `token_expired`, and `unauthorized` for everything else that is not a token of ours. About 280 µs. */
  verifyAccess(token: string): Promise<Verified | Refusal> {
    return verifyAccess(this.#keys, this.#access, token)
  }

  /** A token for a cheap reconnect, of about 120 characters. */
  signResume(identity: Identity): string {
    const expires = this.#clock.now() + this.options.resumeTtlMs
    return this.#resume.seal(encodeResume({ ...identity, expires }))
  }

  /** Refusals as `verifyAccess`. About 25 µs. */
  verifyResume(token: string): Verified | Refusal {
    const body = this.#resume.open(token)
    const verified = body && decodeResume(body)
    if (verified === undefined) return refuse('unauthorized')
    return verified.expires > this.#clock.now() ? verified : refuse('token_expired')
  }

  /** The first refresh token of a new device. */
  firstRefresh(device: DeviceId): RefreshToken {
    return firstRefresh(this.#refresh, device)
  }

  nextRefresh(last: RefreshToken, attempt?: string): RefreshToken {
    return nextRefresh(this.#refresh, last, attempt)
  }

  /** Only whether it is ours; the directory knows whether it is the newest of its chain. */
  openRefresh(token: string): RefreshToken | Refusal {
    return openRefresh(this.#refresh, token)
  }
}

/** Keys from `directory`, made there on first use. Errors: see `openKeyring`. */
export const openTokens = async (
  directory: string,
  options: TokenOptions = TOKEN_DEFAULTS,
  clock: Clock = systemClock,
): Promise<Tokens> => new Tokens(await openKeyring(directory), options, clock)
