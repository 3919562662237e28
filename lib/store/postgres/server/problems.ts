/**
 * What an error of PostgreSQL, of the network or of TLS means for us, and what an operator does about it. Whatever is
 * not in the table is `failed`: a bug, or something that is wrong with the data.
 */
import { ParleyError } from '../../../errors.ts'
import { driverText } from '../failure.ts'
import { type Address, addressText } from './address.ts'

/**
 * lost: the connection ended, or none could be made. again: it was rolled back, and the same may succeed at once. busy:
 * the server is there and will not do it now. setup: waiting does not mend it. failed: the statement is refused.
 */
export type ProblemKind = 'lost' | 'again' | 'busy' | 'setup' | 'failed'

type Advice = { readonly kind: ProblemKind; readonly say: (address: Address) => string }
const advice = (kind: ProblemKind, say: (address: Address) => string): Advice => ({ kind, say })

const PASSWORD = advice(
  'setup',
  ({ user }) =>
    `PostgreSQL does not let ${user} in: see that --postgres-url or --postgres-password-file hold the right ` +
    'password, and that pg_hba.conf admits this machine',
)
const CERTIFICATE = advice(
  'setup',
  ({ host }) =>
    `the certificate of PostgreSQL is not one that is trusted for ${host}: name its authority with ` +
    '--postgres-tls-ca, and the server as the certificate does',
)
const NOBODY = advice(
  'lost',
  ({ host, port, path }) => `nothing answers at ${path ?? `${host}:${port}`}: does PostgreSQL run?`,
)
const GONE = advice('lost', () => 'the connection to PostgreSQL ended')
const STARTING = advice('lost', () => 'PostgreSQL starts or stops')
const ONE_AFTER_THE_OTHER = advice('again', () => 'others changed the same at the same time')
const FULL = advice('busy', () => 'PostgreSQL is out of disk or memory')

/** SQLSTATEs, and codes of Node and of the driver. */
const TABLE: Readonly<Record<string, Advice>> = {
  '28000': PASSWORD,
  '28P01': PASSWORD,
  '3D000': advice(
    'setup',
    ({ database, user }) =>
      `PostgreSQL has no database ${database}: make it (createdb --owner=${user} ${database}), or correct the URL`,
  ),
  '42501': advice(
    'setup',
    ({ database, user }) =>
      `${user} may not do this in database ${database}: make it the owner (ALTER DATABASE ${database} OWNER TO ${user})`,
  ),
  '53300': advice(
    'busy',
    () =>
      'PostgreSQL has no connection left: raise max_connections there, or lower --postgres-pool',
  ),
  '53100': FULL,
  '53200': FULL,
  '55P03': advice('busy', () => 'others hold what this waits for (lock_timeout)'),
  '57014': advice('busy', () => 'the statement took too long (statement_timeout)'),
  '25006': advice('lost', () => 'this PostgreSQL takes no writes: is it a standby?'),
  '25P03': GONE,
  '40001': ONE_AFTER_THE_OTHER,
  '40P01': ONE_AFTER_THE_OTHER,
  '57P01': STARTING,
  '57P02': STARTING,
  '57P03': STARTING,
  ECONNREFUSED: NOBODY,
  ENOENT: NOBODY,
  EHOSTUNREACH: NOBODY,
  ENETUNREACH: NOBODY,
  ETIMEDOUT: NOBODY,
  ENOTFOUND: advice('lost', ({ host }) => `there is no host ${host}`),
  EAI_AGAIN: advice('lost', ({ host }) => `the name ${host} cannot be looked up`),
  ECONNRESET: GONE,
  EPIPE: GONE,
  ERR_STREAM_DESTROYED: GONE,
  CONNECTION_CLOSED: GONE,
  CONNECTION_DESTROYED: GONE,
  CONNECTION_ENDED: GONE,
  SELF_SIGNED_CERT_IN_CHAIN: CERTIFICATE,
  DEPTH_ZERO_SELF_SIGNED_CERT: CERTIFICATE,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: CERTIFICATE,
  UNABLE_TO_GET_ISSUER_CERT: CERTIFICATE,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: CERTIFICATE,
  CERT_HAS_EXPIRED: CERTIFICATE,
  ERR_TLS_CERT_ALTNAME_INVALID: CERTIFICATE,
}

const codeOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const { code } = (cause ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/** The SQLSTATE class 08 is about connections. */
const adviceFor = (code: string): Advice | undefined =>
  TABLE[code] ?? (/^08...$/.test(code) ? GONE : undefined)

export type Problem = { readonly kind: ProblemKind; readonly error: ParleyError }

const RETRY_MS = 1_000

/** Errors that are ours already stay as they are. */
export const problemOf = (error: unknown, address: Address): Problem => {
  if (error instanceof ParleyError) {
    return { kind: error.code === 'unavailable' ? 'setup' : 'failed', error }
  }
  const known = adviceFor(codeOf(error))
  const cause = driverText(error)
  if (known === undefined) {
    const detail = 'The directory failed.'
    return { kind: 'failed', error: new ParleyError('internal', { detail, cause }) }
  }
  const detail = `${known.say(address)} (${addressText(address)}: ${cause})`
  const wait = known.kind === 'setup' ? {} : { retryAfterMs: RETRY_MS }
  return { kind: known.kind, error: new ParleyError('unavailable', { detail, cause, ...wait }) }
}
