/**
 * The tables, as versions that are only ever added: a shipped one is never changed, since its digest is stored with it.
 * A later version only adds tables or columns, so that processes of the version before go on beside it.
 *
 * Nothing here that Cassandra 5 and ScyllaDB do not share. Compaction is the server's default: timestamps are log positions
 * and sequences, not times, so time windows would never close.
 */
export type Migration = {
  readonly version: number
  readonly name: string
  /** CQL with `$` for the keyspace, each of which may run again. */
  readonly statements: readonly string[]
}

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: 'history',
    statements: [
      // One partition is BUCKET_EVENTS events of a room; pages read from the newest on.
      `CREATE TABLE IF NOT EXISTS $.messages (
        room text, bucket bigint, seq bigint, frame blob,
        PRIMARY KEY ((room, bucket), seq)
      ) WITH CLUSTERING ORDER BY (seq DESC)`,
      // The buckets that a room has, and the lowest seq that it keeps.
      `CREATE TABLE IF NOT EXISTS $.rooms (
        room text, bucket bigint, kept bigint static,
        PRIMARY KEY (room, bucket)
      )`,
      'CREATE TABLE IF NOT EXISTS $.floors (stream int PRIMARY KEY, position bigint)',
    ],
  },
  {
    version: 2,
    name: 'snapshots',
    statements: [
      'CREATE TABLE IF NOT EXISTS $.room_states (room text PRIMARY KEY, position bigint, state blob)',
      `CREATE TABLE IF NOT EXISTS $.user_rows (
        user text, key text, position bigint, value blob,
        PRIMARY KEY (user, key)
      )`,
      'CREATE TABLE IF NOT EXISTS $.partitions (name text PRIMARY KEY, position bigint, value blob)',
    ],
  },
]
