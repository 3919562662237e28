/** What the client can do in Node besides index.ts: keep a profile in a folder. */
import type { Cache } from './cache.ts'
import { FileCache } from './file-cache.node.ts'
import { fileLocks } from './file-locks.node.ts'
import type { Locks } from './locks.ts'

export { holderOf } from './file-locks.node.ts'

/**
 * A profile in a folder of its own, which is made when it is not there. One client at a time has its outbox; others read.
 *
 * @example new Client({ api, ...folderProfile('/home/me/.parley/default') })
 */
export const folderProfile = (folder: string): { cache: Cache; locks: Locks } => ({
  cache: new FileCache(folder),
  locks: fileLocks(folder),
})
