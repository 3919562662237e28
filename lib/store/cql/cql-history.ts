import type { RoomId } from '../../ids.ts'
import type { HistoryRow, HistoryStore } from '../history/history.ts'
import { batchesOf, blob, checkSize, type Write } from './batches.ts'
import { BUCKET_EVENTS, bucketOf, FOR_GOOD, SEQ_END } from './buckets.ts'
import { KnownBuckets } from './known-buckets.ts'
import { eachOf } from './lanes.ts'
import { roomBuckets } from './room-buckets.ts'
import { type CqlSession, numberOf } from './session.ts'
import { roomSpans } from './spans.ts'

/** Statements of one append at once. */
const WRITES = 64
/** Buckets of one page, or of one drop, at once. */
const BUCKETS = 8
/** Rows of one read: of the largest events a few MB. */
const ROWS = 256
/** A page over more buckets than this asks which of them are there. */
const COMPUTED = 4

type EventWrite = Write & { readonly room: RoomId; readonly bucket: number }

/**
 * The history of all rooms on a CQL cluster. An event's row is written USING TIMESTAMP of its seq, a floor of its position:
 * whatever comes late or twice changes nothing.
 *
 * An append stores its rows before its position, not in one step: after a failure between the two they are written again.
 * A row without its frame reads as deleted.
 */
export const cqlHistory = (session: CqlSession): HistoryStore => {
  const { keyspace } = session
  const release = session.hold()
  const known = new KnownBuckets()
  const buckets = roomBuckets(session)
  const cql = {
    event: `INSERT INTO ${keyspace}.messages (room, bucket, seq, frame) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`,
    floor: `INSERT INTO ${keyspace}.floors (stream, position) VALUES (?, ?) USING TIMESTAMP ?`,
    readFloor: `SELECT position FROM ${keyspace}.floors WHERE stream = ?`,
    page: `SELECT seq, frame FROM ${keyspace}.messages WHERE room = ? AND bucket = ? AND seq >= ? AND seq <= ? LIMIT ${ROWS}`,
    dropBucket: `DELETE FROM ${keyspace}.messages USING TIMESTAMP ? WHERE room = ? AND bucket = ?`,
    dropBelow: `DELETE FROM ${keyspace}.messages USING TIMESTAMP ? WHERE room = ? AND bucket = ? AND seq < ?`,
  } as const

  const writeOf = ({ room, seq, frame }: HistoryRow): EventWrite => {
    checkSize(`event ${seq} of ${room}`, frame)
    const bucket = bucketOf(seq)
    return {
      room,
      bucket,
      key: `${room} ${bucket}`,
      bytes: frame.byteLength,
      params: [room, bucket, seq, blob(frame), seq],
    }
  }

  /** Lists the buckets that are not listed yet: before their events, since what is stored must be found. */
  const list = async (batches: readonly (readonly EventWrite[])[]): Promise<void> => {
    const fresh = new Map<string, EventWrite>()
    for (const [write] of batches) {
      if (write && !known.has(write.room, write.bucket)) fresh.set(write.key, write)
    }
    await eachOf([...fresh.values()], WRITES, async ({ room, bucket }) => {
      await buckets.add(room, bucket)
      known.add(room, bucket)
    })
  }

  const store = (batch: readonly EventWrite[]): Promise<void> =>
    batch.length === 1
      ? session.write(cql.event, batch[0]!.params)
      : session.batch(batch.map(({ params }) => ({ query: cql.event, params })))

  const pageOf = async (
    room: RoomId,
    bucket: number,
    first: number,
    last: number,
  ): Promise<HistoryRow[]> => {
    const from = Math.max(first, bucket * BUCKET_EVENTS)
    const page: HistoryRow[] = []
    for (let to = Math.min(last, (bucket + 1) * BUCKET_EVENTS - 1); from <= to; ) {
      const { rows, more } = await session.read(cql.page, [room, bucket, from, to])
      for (const row of rows) {
        const frame: Uint8Array | null = row.frame
        if (frame !== null)
          page.push({ room, seq: numberOf(row.seq), frame: new Uint8Array(frame) })
      }
      if (rows.length === 0 || (rows.length < ROWS && !more)) break
      to = numberOf(rows.at(-1)!.seq) - 1
    }
    return page
  }

  const bucketsOf = async (room: RoomId, first: number, last: number): Promise<number[]> => {
    const [from, to] = [bucketOf(first), bucketOf(last)]
    if (to - from >= COMPUTED) return buckets.list(room, from, to)
    return Array.from({ length: to - from + 1 }, (_, n) => from + n)
  }

  const rowsOf = async (room: RoomId, first: number, last: number): Promise<HistoryRow[]> => {
    const rows: HistoryRow[] = []
    await eachOf(await bucketsOf(room, first, last), BUCKETS, async (bucket) => {
      rows.push(...(await pageOf(room, bucket, first, last)))
    })
    return rows.sort((a, b) => a.seq - b.seq)
  }

  return {
    append: async (rows, stream, position) => {
      const batches = batchesOf(rows.map(writeOf))
      await list(batches)
      await eachOf(batches, WRITES, store)
      await session.write(cql.floor, [stream, position, position])
    },

    floor: async (stream) => {
      const { rows } = await session.read(cql.readFloor, [stream])
      return numberOf(rows[0]?.position)
    },

    page: async (room, first, last) => {
      const from = Math.max(first, 0)
      const to = Math.min(last, SEQ_END - 1)
      if (!(from <= to)) return []
      const [kept, rows] = await Promise.all([buckets.kept(room), rowsOf(room, from, to)])
      return rows.filter(({ seq }) => seq >= kept)
    },

    kept: (room) => buckets.kept(room),

    drop: async (room, below) => {
      await buckets.keep(room, Math.min(below, SEQ_END - 1))
      const floor = await buckets.kept(room)
      if (floor <= 1) return
      const border = bucketOf(floor)
      if (floor > border * BUCKET_EVENTS) {
        await session.write(cql.dropBelow, [FOR_GOOD, room, border, floor])
      }
      known.forget(room)
      await eachOf(await buckets.list(room, 0, border - 1), BUCKETS, async (bucket) => {
        await session.write(cql.dropBucket, [FOR_GOOD, room, bucket])
        await buckets.remove(room, bucket)
      })
    },

    spans: roomSpans(session, buckets),

    close: release,
  }
}
