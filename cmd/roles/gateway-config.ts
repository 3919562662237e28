/** What a gateway's settings must be, told before anything is waited for. */
import { accessSync, constants, existsSync } from 'node:fs'
import type { Config } from '../../lib/config.ts'
import { proxyList } from '../../lib/gateway/door.ts'
import { keysWillCome, tokensFile } from './tokens.ts'

const requireFile = (option: string, path: string): void => {
  try {
    accessSync(path, constants.R_OK)
  } catch (cause) {
    throw new Error(`${option}: ${path} can't be read`, { cause })
  }
}

/** @throws Error that says which setting is wrong, and how */
export const checkGatewayConfig = (config: Config): void => {
  const { tlsKey, tlsCert, trustedProxies } = config
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
  const file = tokensFile(config)
  // With keys of its own it would take every token for a forgery, and its clients for logged out.
  if (!keysWillCome(config) && !existsSync(file)) {
    throw new Error(
      `${file} is missing: copy it from the keys of the API, mode 0600, or name their directory with --keys`,
    )
  }
}
