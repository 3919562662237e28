/** Where a PostgreSQL is and who we are there, from a URL. */

export type Address = {
  readonly host: string
  readonly port: number
  /** A Unix socket; host and port mean nothing then. */
  readonly path: string | undefined
  readonly user: string
  readonly password: string
  readonly database: string
}

const SHAPE = 'postgresql://user:password@host:5432/database'
const DEFAULT_PORT = 5432

/** The address without its password, for logs and errors. */
export const addressText = ({ host, port, path, user, database }: Address): string =>
  `${user}@${path ?? `${host}:${port}`}/${database}`

/** Loopback or a Unix socket: what is sent does not leave the machine. */
export const isLocal = ({ host, path }: Address): boolean =>
  path !== undefined || host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)

/**
 * A host that begins with `%2F` is the directory of a Unix socket. `password` counts when the URL has none.
 * @throws Error that names what is wrong, never the password
 */
export const parseAddress = (text: string, password = ''): Address => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['postgresql:', 'postgres:'].includes(url.protocol)) {
    throw new Error(`the URL of PostgreSQL must look like ${SHAPE}`)
  }
  if (url.search !== '' || url.hash !== '') {
    throw new Error(
      'the URL of PostgreSQL takes no parameters: TLS and the pool have settings of their own, and a ? or # in a ' +
        'password is written as %3F or %23',
    )
  }
  const decoded = (part: string, what: string): string => {
    try {
      const value = decodeURIComponent(part)
      if (value !== '') return value
    } catch {
      throw new Error(`the URL of PostgreSQL has a ${what} with a % that is not written as %25`)
    }
    throw new Error(`the URL of PostgreSQL names no ${what}; it must look like ${SHAPE}`)
  }
  const host = decoded(url.hostname, 'host').replace(/^\[(.*)\]$/, '$1')
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
  return {
    host,
    port,
    path: host.startsWith('/') ? `${host}/.s.PGSQL.${port}` : undefined,
    user: decoded(url.username, 'user'),
    password: url.password === '' ? password : decoded(url.password, 'password'),
    database: decoded(url.pathname.slice(1), 'database'),
  }
}
