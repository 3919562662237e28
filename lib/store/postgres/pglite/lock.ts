/**
 * Two processes on one PGlite directory would corrupt it. The lock is LevelDB's, thus the kernel's: it dies with its
 * process however that dies. A file with a process id in it would have to be judged stale, and two could do so at once.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openLevel } from '../../level/open.ts'

/** Returns what releases it. Error: `unavailable`, with the reason in words, while another holds it. */
export const lockDirectory = async (directory: string): Promise<() => Promise<void>> => {
  const path = join(directory, 'lock')
  await mkdir(path, { recursive: true, mode: 0o700 })
  return (await openLevel(path)).hold()
}
