/**
 * The one LevelDB database of a data directory, shared by the embedded stores. LevelDB admits one process: the lock
 * is its own, and dies with the process however that dies.
 */
import { ClassicLevel } from 'classic-level'
import { ParleyError } from '../../errors.ts'
import { countHolds } from '../holds.ts'
import { Committer, type Write } from './committer.ts'
import { metaKey } from './keys.ts'

/** Layout version of keys.ts, written into the database. */
const FORMAT = '2'

/** Bytes that a range reads ahead of JavaScript; a page of 50 events fits. */
const READ_AHEAD = 256 << 10

type Files = ClassicLevel<Uint8Array, Uint8Array>

export type LevelDatabase = {
  get(key: Uint8Array): Promise<Uint8Array | undefined>
  /** The rows from `gte` to `lt`, in the order of keys; at most `limit` of them. */
  range(gte: Uint8Array, lt: Uint8Array, limit?: number): Promise<[Uint8Array, Uint8Array][]>
  /** The keys from `gte` to `lt`, in their order or from the last on; at most `limit` of them. */
  keys(gte: Uint8Array, lt: Uint8Array, limit: number, reverse?: boolean): Promise<Uint8Array[]>
  /**
   * Takes away at most `limit` of the rows from `gte` to `lt`, without reading them. Not synced: after a power loss
   * some may be there again.
   */
  clear(gte: Uint8Array, lt: Uint8Array, limit: number): Promise<void>
  /** Stores all of it or nothing; resolves when it would survive a power loss. Errors: see Committer. */
  commit(writes: readonly Write[]): Promise<void>
  /** Takes a hold on the database; the returned function gives it back. With the last one the files close. */
  hold(): () => Promise<void>
}

/**
 * Opens the database in `directory`, made when absent. Errors: `unavailable`, with the reason in words, when another
 * process (or this one) has it open, when it is of a newer layout, or when it is damaged.
 */
export const openLevel = async (directory: string): Promise<LevelDatabase> => {
  const files: Files = new ClassicLevel(directory, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    // Larger than LevelDB's defaults of 2009, since a history grows to many gigabytes. Sorting twice as much in memory
    // saves a third of the CPU of its threads, which is most of what a message costs here (bench/micro/history.ts).
    writeBufferSize: 32 << 20,
    maxFileSize: 8 << 20,
    cacheSize: 32 << 20,
    // Texts of a few words shrink by a fifth, for a quarter of that CPU.
    compression: false,
  })
  try {
    await files.open()
    await checkFormat(files, directory)
  } catch (error) {
    await files.close()
    throw error instanceof ParleyError ? error : refusal(directory, error)
  }
  const committer = new Committer({
    getMany: (keys) => files.getMany(keys),
    // A chained batch is a third cheaper a row, but what it holds is freed by the garbage collector only: hundreds of MB.
    batch: (changes) => files.batch(changes, { sync: true }),
  })
  return {
    get: (key) => reading(() => files.get(key)),
    range: (gte, lt, limit = -1) =>
      reading(() => files.iterator({ gte, lt, limit, highWaterMarkBytes: READ_AHEAD }).all()),
    keys: (gte, lt, limit, reverse = false) =>
      reading(() => files.keys({ gte, lt, limit, reverse }).all()),
    clear: async (gte, lt, limit) => {
      try {
        await files.clear({ gte, lt, limit })
      } catch (cause) {
        throw new ParleyError('unavailable', {
          detail: 'the embedded store failed to write',
          cause,
        })
      }
    },
    commit: (writes) => committer.commit(writes),
    hold: countHolds(
      () => files.close(),
      () => committer.idle(),
    ),
  }
}

const reading = async <T>(read: () => Promise<T>): Promise<T> => {
  try {
    return await read()
  } catch (cause) {
    throw new ParleyError('unavailable', { detail: 'the embedded store failed to read', cause })
  }
}

const checkFormat = async (files: Files, directory: string): Promise<void> => {
  const stored = await files.get(metaKey('format'))
  if (stored === undefined) {
    await files.batch([{ type: 'put', key: metaKey('format'), value: Buffer.from(FORMAT) }], {
      sync: true,
    })
    return
  }
  const format = Buffer.from(stored).toString()
  if (format !== FORMAT) {
    throw new ParleyError('unavailable', {
      detail: `${directory} was written by another version of Parley (layout ${format}, this one reads ${FORMAT})`,
    })
  }
}

const refusal = (directory: string, error: unknown): ParleyError => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  const detail =
    code === 'LEVEL_LOCKED'
      ? `${directory} is in use by another process: stop that one, or choose another data directory`
      : code === 'LEVEL_CORRUPTION'
        ? `${directory} is damaged; restore it from a backup`
        : `${directory} cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}`
  return new ParleyError('unavailable', { detail, cause })
}
