import type { UserId } from '../../ids.ts'
import type { StateStore, UserRow } from '../state/state.ts'
import { batchesOf, blob, checkSize, type Write } from './batches.ts'
import { eachOf } from './lanes.ts'
import { type CqlSession, numberOf } from './session.ts'

/** Statements of one call at once. */
const WRITES = 32
const ROWS = 1000

/**
 * Snapshots of actors on a CQL cluster, each written USING TIMESTAMP of its position: the higher one wins by that alone.
 * A row without its value reads as deleted. Here what `dropUsers` took away stays away below that position.
 */
export const cqlState = (session: CqlSession): StateStore => {
  const { keyspace } = session
  const release = session.hold()
  const cql = {
    saveRoom: `INSERT INTO ${keyspace}.room_states (room, position, state) VALUES (?, ?, ?) USING TIMESTAMP ?`,
    room: `SELECT position, state FROM ${keyspace}.room_states WHERE room = ?`,
    saveUser: `INSERT INTO ${keyspace}.user_rows (user, key, position, value) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`,
    dropUser: `DELETE FROM ${keyspace}.user_rows USING TIMESTAMP ? WHERE user = ? AND key = ?`,
    user: `SELECT key, position, value FROM ${keyspace}.user_rows WHERE user = ? LIMIT ${ROWS}`,
    userAfter: `SELECT key, position, value FROM ${keyspace}.user_rows WHERE user = ? AND key > ? LIMIT ${ROWS}`,
    savePartition: `INSERT INTO ${keyspace}.partitions (name, position, value) VALUES (?, ?, ?) USING TIMESTAMP ?`,
    partition: `SELECT position, value FROM ${keyspace}.partitions WHERE name = ?`,
  } as const

  const batched = (query: string, writes: readonly Write[]): Promise<void> =>
    eachOf(batchesOf(writes), WRITES, (batch) =>
      batch.length === 1
        ? session.write(query, batch[0]!.params)
        : session.batch(batch.map(({ params }) => ({ query, params }))),
    )

  return {
    room: async (room) => {
      const [row] = (await session.read(cql.room, [room])).rows
      const state: Uint8Array | null | undefined = row?.state
      if (row === undefined || !state) return undefined
      return { room, position: numberOf(row.position), state: new Uint8Array(state) }
    },

    saveRooms: async (snapshots) => {
      for (const { room, state } of snapshots) checkSize(`the snapshot of ${room}`, state)
      await eachOf(snapshots, WRITES, ({ room, position, state }) =>
        session.write(cql.saveRoom, [room, position, blob(state), position]),
      )
    },

    user: async (user: UserId) => {
      const found: UserRow[] = []
      for (let after: string | undefined; ; ) {
        const { rows, more } =
          after === undefined
            ? await session.read(cql.user, [user])
            : await session.read(cql.userAfter, [user, after])
        for (const { key, position, value } of rows) {
          if (value === null) continue
          found.push({ user, key, position: numberOf(position), value: new Uint8Array(value) })
        }
        if (rows.length === 0 || (rows.length < ROWS && !more)) return found
        after = rows.at(-1)!.key
      }
    },

    saveUsers: async (rows) => {
      const writes = rows.map(({ user, key, position, value }): Write => {
        checkSize(`row ${key} of ${user}`, value)
        const params = [user, key, position, blob(value), position]
        return { key: user, bytes: value.byteLength, params }
      })
      await batched(cql.saveUser, writes)
    },

    dropUsers: (rows) =>
      batched(
        cql.dropUser,
        rows.map(({ user, key, position }) => ({
          key: user,
          bytes: key.length,
          params: [position, user, key],
        })),
      ),

    partition: async (name) => {
      const [row] = (await session.read(cql.partition, [name])).rows
      const value: Uint8Array | null | undefined = row?.value
      if (row === undefined || !value) return undefined
      return { position: numberOf(row.position), value: new Uint8Array(value) }
    },

    savePartition: async (name, position, value) => {
      checkSize(name, value)
      await session.write(cql.savePartition, [name, position, blob(value), position])
    },

    close: release,
  }
}
