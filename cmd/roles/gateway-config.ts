/** What a gateway's settings must be, told before anything is waited for. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../lib/config.ts'
import { proxyList } from '../../lib/gateway/door.ts'
import { readRunInfo } from './run-info.ts'

const SCHEMES = ['nats:', 'tls:']

const requireAddress = (url: string): void => {
  const parsed = URL.parse(url.includes('://') ? url : `nats://${url}`)
  if (parsed !== null && SCHEMES.includes(parsed.protocol) && parsed.hostname !== '') return
  throw new Error(`--nats-url: "${url}" is not an address of a nats-server (nats://host:port)`)
}

/** What the process that holds the data directory says of its NATS, or where it had its own the last time. */
const natsIn = (data: string): readonly string[] | undefined => {
  const told = readRunInfo(data)?.nats
  if (told !== undefined) return told
  const path = join(data, 'nats.port')
  return existsSync(path) ? [`nats://127.0.0.1:${Number(readFileSync(path, 'utf8'))}`] : undefined
}

/** Where NATS is now. @throws Error that says what to do when it is not an address, or nothing tells where it is */
export const natsUrlsOf = ({ natsUrl, data }: Config): (() => readonly string[]) => {
  for (const url of natsUrl) requireAddress(url)
  if (natsUrl.length > 0) return () => natsUrl
  const found = natsIn(data)
  if (found === undefined) {
    throw new Error(
      `Nothing runs in ${data}: start \`parley up --no-gateway\` there first, or give --nats-url.`,
    )
  }
  let last = found
  return () => {
    last = natsIn(data) ?? last
    return last
  }
}

const requireFile = (option: string, path: string): void => {
  try {
    accessSync(path, constants.R_OK)
  } catch (cause) {
    throw new Error(`${option}: ${path} can't be read`, { cause })
  }
}

/** @throws Error that says which setting is wrong, and how */
export const checkGatewayConfig = (config: Config): void => {
  const { data, natsUrl, tlsKey, tlsCert, trustedProxies } = config
  if ((tlsKey === '') !== (tlsCert === '')) {
    throw new Error('--tls-key and --tls-cert: TLS needs both, or neither')
  }
  if (tlsKey !== '') {
    requireFile('--tls-key', tlsKey)
    requireFile('--tls-cert', tlsCert)
  }
  try {
    proxyList(trustedProxies)
  } catch (cause) {
    throw new Error(`--trusted-proxies: ${(cause as Error).message}`, { cause })
  }
  const keys = join(data, 'keys', 'tokens.json')
  // With keys of its own it would take every token for a forgery, and its clients for logged out.
  if (natsUrl.length > 0 && !existsSync(keys)) {
    throw new Error(`${keys} is missing: copy it from the data directory of the API, mode 0600`)
  }
}
