import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's cache: `PARLEY_CACHE`, else `.cache` beside the nearest package.json above this file. */
export const cacheDir = (
  env: Readonly<Record<string, string | undefined>> = process.env,
): string => {
  if (env.PARLEY_CACHE !== undefined && env.PARLEY_CACHE !== '') return env.PARLEY_CACHE
  let dir = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(dir, 'package.json')) && dirname(dir) !== dir) dir = dirname(dir)
  return join(dir, '.cache')
}
