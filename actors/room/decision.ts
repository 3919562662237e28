/** Parts of which decisions are made. */
import type { Answer, Asked, Decision } from '../../lib/actor/behavior.ts'
import { ERRORS, type ErrorCode } from '../../lib/errors.ts'
import { EVENT_KINDS, type EventKind } from '../../lib/protocol/events.ts'
import type { EventRecord, RoomRecord } from '../../lib/protocol/records.ts'
import { type Numbered, refused } from './lineages.ts'
import type { Room } from './state.ts'

const NOTHING: readonly RoomRecord[] = []

/** An answer without a trace. */
export const answer = (it: Answer): Decision => ({ records: NOTHING, answer: it })

export const refuseUnrecorded = (code: ErrorCode, detail?: string): Decision =>
  answer(refused(code, detail))

/** A member's command refused for good: recorded, so that no late copy of it is accepted (contracts N2). */
export const spend = (state: Room, command: Numbered, asked: Asked, code: ErrorCode): Decision => ({
  records: [
    {
      kind: 'spent',
      room: state.id,
      user: asked.user,
      lineage: command.lineage,
      n: command.n,
      low: command.low,
      hash: command.hash,
      code: ERRORS[code].number,
    },
  ],
  answer: refused(code),
})

/**
 * The next event, or with `ahead` the one after that many uncounted ones of the same decision. Without a command it
 * is not numbered by a lineage: it goes before one that is.
 */
export const event = (
  state: Room,
  asked: Asked,
  kind: EventKind,
  body: Uint8Array,
  command: Numbered | undefined,
  ahead = 0,
): EventRecord => ({
  kind: 'event',
  room: state.id,
  seq: state.head + 1 + ahead,
  ord: EVENT_KINDS[kind].counts ? state.ord + 1 : state.ord,
  id: asked.nextId(asked.now),
  // contracts W4
  time: asked.now > state.time ? asked.now : state.time,
  sender: asked.user,
  type: EVENT_KINDS[kind].number,
  body,
  lineage: command === undefined ? 0 : command.lineage,
  n: command === undefined ? 0 : command.n,
  low: command === undefined ? 0 : command.low,
  hash: command === undefined ? 0 : command.hash,
})

export const ackOf = (record: EventRecord): Answer => ({
  kind: 'ack',
  seq: record.seq,
  id: record.id,
  time: record.time,
})

export const commit = (record: EventRecord): Decision => ({
  records: [record],
  answer: ackOf(record),
})
