import { parseRoomId, type RoomId } from '../../ids.ts'
import type { HistoryStore, Span } from '../history/history.ts'
import { bucketOf, SEQ_END } from './buckets.ts'
import { eachOf } from './lanes.ts'
import type { RoomBuckets } from './room-buckets.ts'
import { type CqlSession, numberOf } from './session.ts'

const LAST_BUCKET = bucketOf(SEQ_END - 1)
/** Rooms of one read of the ring, and those looked at at once. */
const ROOMS = 100
const AT_ONCE = 8

/** All rooms in the order of the ring, with what is stored of them. */
export const roomSpans = (session: CqlSession, buckets: RoomBuckets): HistoryStore['spans'] => {
  const { keyspace } = session
  const cql = {
    rooms: `SELECT room, bucket FROM ${keyspace}.rooms PER PARTITION LIMIT 1 LIMIT ${ROOMS}`,
    roomsAfter: `SELECT room, bucket FROM ${keyspace}.rooms WHERE token(room) > token(?) PER PARTITION LIMIT 1 LIMIT ${ROOMS}`,
    first: `SELECT seq FROM ${keyspace}.messages WHERE room = ? AND bucket = ? ORDER BY seq ASC LIMIT 1`,
    last: `SELECT seq FROM ${keyspace}.messages WHERE room = ? AND bucket = ? ORDER BY seq DESC LIMIT 1`,
  } as const

  const seqIn = async (query: string, room: RoomId, bucket: number) => {
    const { rows } = await session.read(query, [room, bucket])
    return rows[0] === undefined ? undefined : numberOf(rows[0].seq)
  }

  /** Buckets without events are passed over: a drop that was cut short leaves them listed. */
  const spanOf = async (room: RoomId, lowest: number): Promise<Span | undefined> => {
    let first: number | undefined
    let from: number | undefined = lowest
    for (; from !== undefined; [from] = await buckets.list(room, from + 1, LAST_BUCKET, 1)) {
      first = await seqIn(cql.first, room, from)
      if (first !== undefined) break
    }
    if (first === undefined || from === undefined) return undefined
    let to = await buckets.highest(room, LAST_BUCKET)
    for (; to !== undefined && to >= from; to = await buckets.highest(room, to - 1)) {
      const last = await seqIn(cql.last, room, to)
      if (last !== undefined) return { room, first, last }
    }
    return undefined // It was dropped meanwhile.
  }

  return async (after, limit) => {
    const spans: Span[] = []
    for (let last = after as string | undefined; spans.length < limit; ) {
      const query = last === undefined ? cql.rooms : cql.roomsAfter
      const { rows, more } = await session.read(query, last === undefined ? [] : [last])
      const found = new Map<string, Span>()
      await eachOf(rows, AT_ONCE, async (row) => {
        const room = parseRoomId(row.room as string)
        // Without a bucket: of that room only its floor is left.
        if (room === undefined || row.bucket === null) return
        const span = await spanOf(room, numberOf(row.bucket))
        if (span !== undefined) found.set(room, span)
      })
      for (const row of rows) {
        const span = found.get(row.room as string)
        if (span !== undefined && spans.length < limit) spans.push(span)
      }
      if (rows.length === 0 || (rows.length < ROOMS && !more)) break
      last = rows.at(-1)!.room as string
    }
    return spans
  }
}
