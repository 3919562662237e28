import type { CloseReason } from '../errors.ts'

/** What a gateway has done since it started, and what it holds now. */
export type GatewayStats = {
  readonly sessions: number
  readonly users: number
  /** Sessions with a durable queue. */
  readonly queues: number
  /** Commands without an answer. */
  readonly outstanding: number
  /** WebSocket messages and bytes that came. */
  readonly messagesIn: number
  readonly bytesIn: number
  /** Frames, WebSocket messages and bytes that were written. */
  readonly framesOut: number
  readonly messagesOut: number
  readonly bytesOut: number
  /** Droppable frames left out for slow readers. */
  readonly dropped: number
  readonly envelopesOut: number
  readonly envelopesIn: number
  /** Commands sent more than once, given up; partitions held on `moved`, or silent too long. */
  readonly resends: number
  readonly gaveUp: number
  readonly moved: number
  readonly timeouts: number
  /** Handles of hosts that were not there any more. */
  readonly lost: number
  /** Connections that were not let in. */
  readonly turnedAway: number
  /** Sessions ended by this gateway, by reason. */
  readonly closes: Readonly<Partial<Record<CloseReason, number>>>
}
