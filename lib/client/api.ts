/** The HTTP API as far as the client needs it. Every failure is a ParleyError; none of the calls retries by itself. */
import { ERRORS, type ErrorCode, ParleyError } from '../errors.ts'
import { type DeviceId, parseDeviceId, parseUserId, type UserId } from '../ids.ts'

export type Grant = {
  readonly user: UserId
  readonly device: DeviceId
  readonly access: string
  readonly refresh: string
  /** ms for which `access` is good, from when it was asked for. */
  readonly lifetime: number
  /** As the server writes it; a refresh does not tell. */
  readonly handle: string | undefined
}
export type Registration = {
  readonly handle: string
  readonly password: string
  readonly name?: string | undefined
  /** What the user calls this device. */
  readonly device?: string | undefined
}
export type Login = Omit<Registration, 'name'>
export type Person = { readonly user: UserId; readonly handle: string; readonly name: string }

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

type Fields = Record<string, unknown>

const TIMEOUT = 10_000
/** Where the time of the answer is put, ms by the server's clock. */
const SERVER_TIME = ' time'

const BY_STATUS: Record<number, ErrorCode> = {
  400: 'bad_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  409: 'exists',
  413: 'too_large',
  422: 'bad_request',
  429: 'rate',
}

export class Api {
  readonly base: string
  readonly #fetch: Fetch

  /** `base` is the API's address, such as `http://127.0.0.1:8080`. */
  constructor(base: string, fetch: Fetch = globalThis.fetch) {
    this.base = base.replace(/\/+$/, '')
    this.#fetch = fetch
  }

  async register(body: Registration): Promise<Grant> {
    return grantOf(await this.#call('POST', '/v1/register', { body }))
  }

  async login(body: Login): Promise<Grant> {
    return grantOf(await this.#call('POST', '/v1/login', { body }))
  }

  /**
   * Each refresh token works once; the grant holds the next. With the same `attempt`, a random text, the same token may
   * be used again when its answer was lost.
   */
  async refresh(refresh: string, attempt: string, signal?: AbortSignal): Promise<Grant> {
    const body = { refreshToken: refresh, attempt }
    return grantOf(await this.#call('POST', '/v1/refresh', { body, signal }))
  }

  async logout(access: string): Promise<void> {
    await this.#call('POST', '/v1/logout', { access })
  }

  /** By exact handle. @throws ParleyError `not_found` */
  async person(handle: string, access: string): Promise<Person> {
    const answer = await this.#call('GET', `/v1/users/${encodeURIComponent(handle)}`, { access })
    return personOf(answer)
  }

  /** By id, at most 100; those that do not exist are left out. */
  async people(users: readonly UserId[], access: string): Promise<Person[]> {
    const answer = await this.#call('GET', `/v1/users?ids=${users.join(',')}`, { access })
    return Array.isArray(answer.users) ? answer.users.map((one) => personOf(one ?? {})) : []
  }

  /** WebSocket addresses of gateways, the one to use first. */
  async gateways(signal?: AbortSignal): Promise<string[]> {
    const { url, alternatives } = await this.#call('GET', '/v1/gateway', { signal })
    const others = Array.isArray(alternatives) ? alternatives.map(text) : []
    return [text(url), ...others].filter((address) => address !== '')
  }

  async #call(
    method: string,
    path: string,
    { body, access, signal }: { body?: object; access?: string; signal?: AbortSignal | undefined },
  ): Promise<Fields> {
    const limit = AbortSignal.timeout(TIMEOUT)
    const headers: Record<string, string> = { accept: 'application/json' }
    if (body !== undefined) headers['content-type'] = 'application/json'
    if (access !== undefined) headers.authorization = `Bearer ${access}`
    let response: Response
    let answer: Fields
    try {
      response = await this.#fetch(this.base + path, {
        method,
        headers,
        signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      answer = objectOf(await response.text())
    } catch (cause) {
      if (signal?.aborted) throw signal.reason
      throw new ParleyError('unavailable', { cause, detail: `Cannot reach ${this.base}.` })
    }
    const date = Date.parse(response.headers.get('date') ?? '')
    if (response.ok) return Number.isNaN(date) ? answer : { ...answer, [SERVER_TIME]: date }
    throw failure(response, answer)
  }
}

/** The error that an answer other than 2xx stands for: `code` of its body, else by its status. */
const failure = (response: Response, answer: Fields): ParleyError => {
  const said = text(answer.error)
  const code = Object.hasOwn(ERRORS, said)
    ? (said as ErrorCode)
    : (BY_STATUS[response.status] ?? (response.status >= 500 ? 'unavailable' : 'bad_request'))
  const detail = text(answer.message)
  const seconds = Number(response.headers.get('retry-after'))
  const asked = typeof answer.retryAfterMs === 'number' ? answer.retryAfterMs : seconds * 1000
  return new ParleyError(code, {
    retryAfterMs: Number.isFinite(asked) && asked > 0 ? asked : 0,
    ...(detail === '' ? {} : { detail }),
  })
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')

const objectOf = (json: string): Fields => {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? (value as Fields) : {}
  } catch {
    return {}
  }
}

const misfit = (what: string): ParleyError =>
  new ParleyError('internal', { detail: `The API answered with something that is not ${what}.` })

const grantOf = (answer: Fields): Grant => {
  const user = parseUserId(answer.user)
  const device = parseDeviceId(answer.device)
  const { accessToken: access, refreshToken: refresh, accessExpires } = answer
  if (user === undefined || device === undefined) throw misfit('a login')
  if (typeof access !== 'string' || typeof refresh !== 'string') throw misfit('a login')
  // Both by the server's clock: the local one may be wrong.
  const time = Number(answer[SERVER_TIME] ?? Date.now())
  const lifetime = typeof accessExpires === 'number' ? accessExpires - time : 0
  return { user, device, access, refresh, lifetime, handle: text(answer.handle) || undefined }
}

const personOf = (answer: Fields): Person => {
  const user = parseUserId(answer.user)
  if (user === undefined) throw misfit('a user')
  return { user, handle: text(answer.handle), name: text(answer.name) }
}
