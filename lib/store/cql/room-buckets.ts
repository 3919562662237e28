import type { RoomId } from '../../ids.ts'
import { BUCKET_EVENTS, FOR_GOOD } from './buckets.ts'
import { type CqlSession, numberOf } from './session.ts'

const ROWS = 1000

/** Which buckets a room has, and what it keeps: the table `rooms`. */
export const roomBuckets = (session: CqlSession) => {
  const { keyspace } = session
  const cql = {
    add: `INSERT INTO ${keyspace}.rooms (room, bucket) VALUES (?, ?) USING TIMESTAMP ?`,
    remove: `DELETE FROM ${keyspace}.rooms USING TIMESTAMP ? WHERE room = ? AND bucket = ?`,
    list: `SELECT bucket FROM ${keyspace}.rooms WHERE room = ? AND bucket >= ? AND bucket <= ? LIMIT ?`,
    last: `SELECT bucket FROM ${keyspace}.rooms WHERE room = ? AND bucket <= ? ORDER BY bucket DESC LIMIT 1`,
    keep: `UPDATE ${keyspace}.rooms USING TIMESTAMP ? SET kept = ? WHERE room = ?`,
    kept: `SELECT kept FROM ${keyspace}.rooms WHERE room = ? LIMIT 1`,
  } as const
  return {
    /** The time of a bucket's row is the seq of its last event: one for all that write it. */
    add: (room: RoomId, bucket: number) =>
      session.write(cql.add, [room, bucket, (bucket + 1) * BUCKET_EVENTS - 1]),

    remove: (room: RoomId, bucket: number) => session.write(cql.remove, [FOR_GOOD, room, bucket]),

    /** Those from `first` to `last`, ascending; at most `limit` of them. */
    list: async (
      room: RoomId,
      first: number,
      last: number,
      limit = Number.POSITIVE_INFINITY,
    ): Promise<number[]> => {
      const found: number[] = []
      for (let from = first; from <= last; ) {
        const most = Math.min(limit - found.length, ROWS)
        const { rows, more } = await session.read(cql.list, [room, from, last, most])
        for (const row of rows) found.push(numberOf(row.bucket))
        if (rows.length === 0 || found.length >= limit || (rows.length < most && !more)) break
        from = found.at(-1)! + 1
      }
      return found
    },

    /** The highest one up to `last`. */
    highest: async (room: RoomId, last: number): Promise<number | undefined> => {
      const { rows } = await session.read(cql.last, [room, last])
      return rows[0] === undefined ? undefined : numberOf(rows[0].bucket)
    },

    keep: (room: RoomId, floor: number) => session.write(cql.keep, [floor, floor, room]),

    kept: async (room: RoomId): Promise<number> => {
      const { rows } = await session.read(cql.kept, [room])
      return Math.max(1, numberOf(rows[0]?.kept))
    },
  }
}

export type RoomBuckets = ReturnType<typeof roomBuckets>
