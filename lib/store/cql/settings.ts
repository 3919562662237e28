import { readFile } from 'node:fs/promises'
import type { Config } from '../../config.ts'
import { ParleyError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import type { CqlOptions, CqlTls } from './options.ts'

type CqlSettings = Pick<Config, Extract<keyof Config, `cql${string}`>>

const contents = async (setting: keyof CqlSettings, path: string): Promise<Buffer> => {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new ParleyError('bad_request', { detail: `${setting}: ${path} can't be read`, cause })
  }
}

const tlsOf = async (config: CqlSettings): Promise<CqlTls> => {
  const { cqlTlsCa, cqlTlsKey, cqlTlsCert } = config
  if ((cqlTlsKey === '') !== (cqlTlsCert === '')) {
    throw new ParleyError('bad_request', { detail: 'cqlTlsKey and cqlTlsCert go together' })
  }
  return {
    ...(cqlTlsCa === '' ? {} : { ca: await contents('cqlTlsCa', cqlTlsCa) }),
    ...(cqlTlsKey === '' ? {} : { key: await contents('cqlTlsKey', cqlTlsKey) }),
    ...(cqlTlsCert === '' ? {} : { cert: await contents('cqlTlsCert', cqlTlsCert) }),
  }
}

/** What the settings say of the CQL cluster. @throws ParleyError bad_request that names the setting that is wrong */
export const cqlOptions = async (config: CqlSettings, log: Log): Promise<CqlOptions> => {
  if ((config.cqlUser === '') !== (config.cqlPasswordFile === '')) {
    throw new ParleyError('bad_request', { detail: 'cqlUser and cqlPasswordFile go together' })
  }
  const credentials = {
    username: config.cqlUser,
    password:
      config.cqlUser === ''
        ? ''
        : (await contents('cqlPasswordFile', config.cqlPasswordFile)).toString().trimEnd(),
  }
  return {
    contactPoints: config.cqlContactPoints,
    port: config.cqlPort,
    datacenter: config.cqlDatacenter,
    keyspace: config.cqlKeyspace,
    replication: new Map(
      config.cqlReplication.map((part) => {
        const [datacenter = '', count] = part.split(':')
        return [datacenter, Number(count)]
      }),
    ),
    tablets: config.cqlTablets,
    ...(config.cqlUser === '' ? {} : { credentials }),
    ...(config.cqlTls ? { tls: await tlsOf(config) } : {}),
    log,
  }
}
