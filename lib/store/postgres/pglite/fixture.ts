/** For tests: a directory in a temporary folder. A first start of PGlite takes seconds; a copy of one takes none. */
import { constants, existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DIRECTORY_LIMITS, type DirectoryLimits } from '../../directory/directory.ts'
import { makeDatabase } from './database.ts'
import { openPgliteDirectory } from './pglite-directory.ts'

const CACHE = join(import.meta.dirname, '../../../../.cache')

const template = async (): Promise<string> => {
  const manifest = new URL('../package.json', import.meta.resolve('@electric-sql/pglite'))
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string }
  const path = join(CACHE, `pglite-${version}`)
  if (existsSync(path)) return path
  await mkdir(CACHE, { recursive: true })
  const made = await mkdtemp(`${path}.`)
  await makeDatabase(made)
  // Of test files that start at once, the first to be done names it.
  await rename(made, path).catch(() => rm(made, { recursive: true, force: true }))
  return path
}

/** A folder that holds an empty database: `openPgliteDirectory` opens it in a blink. */
export const testFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-directory-'))
  await cp(await template(), folder, { recursive: true, mode: constants.COPYFILE_FICLONE })
  return folder
}

/** `dispose` closes the store and removes the folder. */
export const openTestDirectory = async (limits: DirectoryLimits = DIRECTORY_LIMITS) => {
  const folder = await testFolder()
  const store = await openPgliteDirectory({ directory: folder, limits })
  const dispose = async () => {
    await store.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { store, folder, dispose }
}
