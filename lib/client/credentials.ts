/** Who this profile is, and a token that is good: refreshed through the API, by one client of the profile at a time. */
import { nanoid } from 'nanoid'
import { ParleyError } from '../errors.ts'
import type { Api, Grant } from './api.ts'
import type { Account, Cache } from './cache.ts'
import type { Way } from './connection.ts'
import type { Locks } from './locks.ts'
import type { Time } from './time.ts'

/** A token that ends this soon, ms, is refreshed before it is used. */
const SPARE = 20_000

export class Credentials {
  readonly #api: Api
  readonly #cache: Cache
  readonly #locks: Locks
  readonly #time: Time
  /** Where gateways were last seen, for when the API is not there. */
  #urls: readonly string[]
  readonly #fixed: boolean

  constructor(api: Api, cache: Cache, locks: Locks, time: Time, gateways: readonly string[]) {
    this.#api = api
    this.#cache = cache
    this.#locks = locks
    this.#time = time
    this.#urls = gateways
    this.#fixed = gateways.length > 0
  }

  /** @throws ParleyError `unauthorized` when nobody is logged in. */
  async account(): Promise<Account> {
    const account = await this.#cache.account()
    if (account === undefined) {
      throw new ParleyError('unauthorized', { detail: 'Nobody is logged in on this device.' })
    }
    return account
  }

  async granted(handle: string, grant: Grant): Promise<Account> {
    const { user, device, access, refresh, lifetime } = grant
    const accessUntil = this.#time.now() + lifetime
    const server = this.#api.base
    const name = grant.handle ?? handle
    const account: Account = { server, user, handle: name, device, access, accessUntil, refresh }
    await this.#cache.saveAccount(account)
    return account
  }

  /** An access token that is good for a while; a new one with `renew`. @throws ParleyError */
  async access(signal: AbortSignal, renew = false): Promise<string> {
    const account = await this.account()
    const good = account.accessUntil - this.#time.now() > SPARE
    if (good && !renew) return account.access
    const release = await this.#locks.acquire('tokens', signal)
    try {
      // Another client of this profile may have done it meanwhile: a refresh token works once.
      const now = await this.account()
      if (now.refresh !== account.refresh) return now.access
      const attempt = now.attempt ?? nanoid(32)
      if (now.attempt === undefined) await this.#cache.saveAccount({ ...now, attempt })
      const grant = await this.#api.refresh(now.refresh, attempt, signal)
      return (await this.granted(now.handle, grant)).access
    } finally {
      await release()
    }
  }

  async way(renew: boolean, signal: AbortSignal): Promise<Way> {
    const token = await this.access(signal, renew)
    if (!this.#fixed) {
      try {
        this.#urls = await this.#api.gateways(signal)
      } catch (error) {
        if (signal.aborted || this.#urls.length === 0) throw error
      }
    }
    return { token, urls: this.#urls }
  }
}
