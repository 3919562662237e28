/** What a refused command comes to (contracts N2, N3), for every code there is. */
import type { ErrorCode } from '../errors.ts'

export type Verdict =
  /** Nothing was recorded: the same command comes again, before the next. */
  | 'again'
  /** An earlier one is missing: go back to it. */
  | 'back'
  /** Decided long ago, the outcome is forgotten: the history tells. */
  | 'settled'
  /** This number or lineage is of no use: look in the history before sending under another. */
  | 'doubt'
  /** From before a removal: it never becomes valid. */
  | 'stale'
  /** Not a member: refused without a record, so the numbering can't go on. */
  | 'outside'
  | 'refused'

export const VERDICTS: Record<ErrorCode, Verdict> = {
  bad_frame: 'refused',
  unknown_frame: 'refused',
  too_large: 'refused',
  // Of the session, not of the command: it ends, and another session sends the command again.
  unauthorized: 'again',
  token_expired: 'again',
  device_removed: 'again',
  version: 'again',
  forbidden: 'refused',
  not_member: 'outside',
  blocked: 'refused',
  not_found: 'refused',
  exists: 'refused',
  bad_request: 'refused',
  limit: 'refused',
  conflict: 'doubt',
  settled: 'settled',
  out_of_order: 'back',
  unknown_lineage: 'doubt',
  stale_join: 'stale',
  overloaded: 'again',
  rate: 'again',
  unavailable: 'again',
  moved: 'again',
  internal: 'again',
}
