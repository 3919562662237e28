import type { StateStore, UserRow } from '../state/state.ts'
import {
  bodyOf,
  nameOf,
  partitionKey,
  roomKey,
  stamped,
  stampOf,
  userKey,
  userRange,
} from './keys.ts'
import type { LevelDatabase } from './open.ts'

const NOTHING = new Uint8Array(0)

/** Snapshots of actors on the embedded database. */
export const levelState = (database: LevelDatabase): StateStore => {
  const release = database.hold()
  return {
    room: async (room) => {
      const row = await database.get(roomKey(room))
      return row && { room, position: stampOf(row), state: bodyOf(row) }
    },

    saveRooms: (snapshots) =>
      database.commit(
        snapshots.map(({ room, position, state }) => ({
          type: 'raise',
          key: roomKey(room),
          value: stamped(position, state),
        })),
      ),

    user: async (user) => {
      const { from, to } = userRange(user)
      const found = await database.range(from, to)
      return found.map(
        ([key, row]): UserRow => ({
          user,
          key: nameOf(key),
          position: stampOf(row),
          value: bodyOf(row),
        }),
      )
    },

    saveUsers: (rows) =>
      database.commit(
        rows.map(({ user, key, position, value }) => ({
          type: 'raise',
          key: userKey(user, key),
          value: stamped(position, value),
        })),
      ),

    dropUsers: (rows) =>
      database.commit(
        rows.map(({ user, key, position }) => ({
          type: 'drop',
          key: userKey(user, key),
          value: stamped(position, NOTHING),
        })),
      ),

    partition: async (name) => {
      const row = await database.get(partitionKey(name))
      return row && { position: stampOf(row), value: bodyOf(row) }
    },

    savePartition: (name, position, value) =>
      database.commit([
        { type: 'raise', key: partitionKey(name), value: stamped(position, value) },
      ]),

    close: release,
  }
}
