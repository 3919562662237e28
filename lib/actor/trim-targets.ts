/** How far a stream may be trimmed (contracts L0), as pure decisions. Positions are stream sequences. */

/** Of one LOG stream and its partitions, in the same order; undefined or 0 = there is none. */
export type LogPositions = {
  readonly checkpoints: readonly (number | undefined)[]
  /** Of the projections that are registered: a missing one counts as 0. */
  readonly floors: readonly (number | undefined)[]
  readonly lastRecords: readonly (number | undefined)[]
}
export type TrimPositions = LogPositions & {
  /** Up to where the folds of the partitions have stored their inbox. */
  readonly inboxFloors: readonly (number | undefined)[]
}
/** Everything below may go; absent when nothing may. */
export type TrimTargets = { readonly log?: number; readonly inbox?: number }

const least = (positions: readonly (number | undefined)[]): number =>
  Math.min(...positions.map((position) => position ?? 0))

/**
 * A partition without a record or checkpoint holds everything: its subject would answer 0 as its last sequence again,
 * and then accept what comes late.
 */
export const trimTargets = (positions: TrimPositions): TrimTargets => {
  const { checkpoints, floors, lastRecords, inboxFloors } = positions
  const log = least([...checkpoints, ...floors, ...lastRecords])
  const inbox = least(inboxFloors)
  return {
    ...(log > 0 && Number.isFinite(log) ? { log } : {}),
    ...(inbox > 0 && Number.isFinite(inbox) ? { inbox } : {}),
  }
}

/**
 * For a full log: how far each partition's own records may go, which is further than what all have in common. The
 * last record of each stays.
 */
export const roomTargets = (positions: LogPositions): (number | undefined)[] => {
  const { checkpoints, floors, lastRecords } = positions
  return checkpoints.map((checkpoint, i) => {
    const target = least([checkpoint, lastRecords[i], ...floors])
    return target > 0 ? target : undefined
  })
}

/** An owner ticks when its last record is this far behind the stream, so that it does not hold up trimming. */
const STALE_SEQUENCES = 50_000
const STALE_SHARE = 0.1

export type Fullness = {
  readonly lastSeq: number
  readonly messages: number
  readonly bytes: number
  readonly maxBytes: number
}

/** `last` is the sequence of a partition's last record. Bytes are estimated by the stream's average. */
export const isStale = (last: number, stream: Fullness): boolean => {
  const behind = stream.lastSeq - last
  if (behind > STALE_SEQUENCES) return true
  if (stream.maxBytes <= 0 || stream.messages === 0) return false
  return (behind * stream.bytes) / stream.messages > STALE_SHARE * stream.maxBytes
}

/** Share of what the stream may hold, 0 to 1; 0 when it has no limit. */
export const fillOf = ({ bytes, maxBytes }: Fullness): number =>
  maxBytes > 0 ? bytes / maxBytes : 0
