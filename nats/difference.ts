import type { StreamConfig } from '@nats-io/jetstream'
import type { StreamSpec } from './streams.ts'

export interface Difference {
  readonly field: keyof StreamSpec
  readonly is: unknown
  readonly wanted: unknown
  /** True when the server can't change it, or would lose what the stream holds. */
  readonly fixed: boolean
}

/** What decides which messages a stream holds and how. */
const FIXED: ReadonlySet<keyof StreamSpec> = new Set([
  'subjects',
  'storage',
  'retention',
  'persist_mode',
])
/** The server lets these be set, but never taken back. */
const ONE_WAY: ReadonlySet<keyof StreamSpec> = new Set([
  'sealed',
  'deny_delete',
  'deny_purge',
  'allow_msg_ttl',
])

/** A server leaves out what has its zero value. */
const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return [...value].sort().join(' ')
  return value === undefined || value === false || value === 0 || value === 'default' ? '' : value
}

/** In what an existing stream is not as declared. */
export const differences = (is: Partial<StreamConfig>, wanted: StreamSpec): Difference[] => {
  const found: Difference[] = []
  for (const field of Object.keys(wanted) as (keyof StreamSpec)[]) {
    if (plain(is[field]) === plain(wanted[field])) continue
    const fixed = FIXED.has(field) || (ONE_WAY.has(field) && is[field] === true)
    found.push({ field, is: is[field], wanted: wanted[field], fixed })
  }
  return found
}
