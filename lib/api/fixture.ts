/** For tests: the API on a free port over a real embedded directory, with a quick hasher and a fake inbox. */
import { rm } from 'node:fs/promises'
import type { AccountRecord } from '../protocol/account.ts'
import { DIRECTORY_LIMITS } from '../store/directory/directory.ts'
import { openTestDirectory } from '../store/postgres/pglite/fixture.ts'
import { openKeyring } from '../tokens/keyring.ts'
import { TOKEN_DEFAULTS, Tokens } from '../tokens/tokens.ts'
import { Api } from './api.ts'
import { API_DEFAULTS, type ApiConfig } from './config.ts'
import { Outbox } from './outbox.ts'
import type { ApiParts, GatewayAddress } from './parts.ts'
import { type Hasher, openPasswords } from './passwords.ts'

/** Where a test does not ask about rates, they are out of its way. */
export const NO_LIMITS: ApiConfig['rates'] = {
  perAddress: 1e6,
  registerPerAddress: 1e6,
  loginPerAddress: 1e6,
  loginPerHandle: 1e6,
  refreshPerAddress: 1e6,
  lookupPerUser: 1e6,
}

export type Answer = {
  readonly status: number
  readonly headers: Headers
  /** The body, when it is JSON. */
  readonly body: Readonly<Record<string, unknown>>
  readonly text: string
}

export type Ask = { body?: unknown; raw?: string; token?: string; headers?: Record<string, string> }

export const callAt =
  (url: string) =>
  async (method: string, path: string, ask: Ask = {}): Promise<Answer> => {
    const body = ask.raw ?? (ask.body === undefined ? undefined : JSON.stringify(ask.body))
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(ask.token === undefined ? {} : { authorization: `Bearer ${ask.token}` }),
        ...ask.headers,
      },
      ...(body === undefined ? {} : { body }),
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json') === true && text !== ''
    return {
      status: response.status,
      headers: response.headers,
      body: isJson ? JSON.parse(text) : {},
      text,
    }
  }

export const startTestApi = async (
  change: Partial<ApiConfig> = {},
  more: Partial<ApiParts> = {},
) => {
  const { store, folder, dispose } = await openTestDirectory({ ...DIRECTORY_LIMITS, maxDevices: 3 })
  let now = Date.now()
  const clock = { now: () => now, monotonic: () => performance.now() }
  const keyring = await openKeyring(`${folder}/keys`)
  const tokens = new Tokens(keyring, TOKEN_DEFAULTS, clock)

  const hashed = { hash: 0, verify: 0 }
  const hasher: Hasher = {
    hash: async (password) => {
      hashed.hash++
      return `hash of ${password}`
    },
    verify: async (hash, password) => {
      hashed.verify++
      return hash === `hash of ${password}`
    },
  }
  const published: AccountRecord[] = []
  const inbox = { down: false }
  const gateways: GatewayAddress[] = []
  const logged: { event: string; fields: object }[] = []
  const note = (fields: object, event: string) => void logged.push({ event, fields })
  const log = { info: note, warn: note, error: note }
  const outbox = new Outbox({
    directory: store,
    publishAccount: async (record) => {
      if (inbox.down) throw new Error('the inbox is down')
      published.push(record)
    },
    log,
  })
  const parts: ApiParts = {
    config: { ...API_DEFAULTS, port: 0, rates: NO_LIMITS, confirmMs: 300, ...change },
    directory: store,
    tokens,
    passwords: await openPasswords(hasher),
    outbox,
    gateways: () => gateways,
    log,
    clock,
    ...more,
  }
  const api = new Api(parts)
  await outbox.start()
  await api.start(new AbortController().signal)
  const stop = async () => {
    await api.drain(performance.now() + 1000)
    await outbox.drain(0)
    await dispose()
    await rm(folder, { recursive: true, force: true })
  }
  return {
    url: api.url,
    call: callAt(api.url),
    parts,
    tokens,
    keyring,
    store,
    outbox,
    published,
    inbox,
    gateways,
    hashed,
    logged,
    /** Moves the clock of tokens and rows. */
    pass: (ms: number) => {
      now += ms
    },
    now: () => now,
    stop,
  }
}

export type TestApi = Awaited<ReturnType<typeof startTestApi>>

export type TestSession = {
  user: string
  device: string
  handle: string
  name: string
  accessToken: string
  accessExpires: number
  refreshToken: string
  refreshExpires: number
}

export const PASSWORD = 'correct horse'

export const register = async ({ call }: TestApi, handle: string): Promise<TestSession> => {
  const { status, body, text } = await call('POST', '/v1/register', {
    body: { handle, password: PASSWORD },
  })
  if (status !== 201) throw new Error(`not registered: ${status} ${text}`)
  return body as unknown as TestSession
}

export const login = async ({ call }: TestApi, handle: string): Promise<TestSession> => {
  const { status, body, text } = await call('POST', '/v1/login', {
    body: { handle, password: PASSWORD },
  })
  if (status !== 200) throw new Error(`not logged in: ${status} ${text}`)
  return body as unknown as TestSession
}
