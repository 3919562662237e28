/** Where the programs of PostgreSQL are on this machine, and as whom they may run: they refuse to run as root. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

const NEEDED = ['initdb', 'postgres'] as const
const DEBIAN = '/usr/lib/postgresql'
const ID_MS = 5_000
/** Those that exist for nothing else, then the one that nothing belongs to. */
const ACCOUNTS = ['postgres', 'nobody'] as const

type Environment = Readonly<Record<string, string | undefined>>

/** Debian keeps each major version in a directory of its own. */
const debianFolders = (root: string): string[] => {
  if (!existsSync(root)) return []
  return readdirSync(root)
    .filter((name) => Number.isFinite(Number(name)))
    .sort((a, b) => Number(b) - Number(a))
    .map((name) => join(root, name, 'bin'))
}

const isWhole = (folder: string): boolean => NEEDED.every((name) => existsSync(join(folder, name)))

/**
 * The folder with initdb and postgres: PARLEY_POSTGRES_BIN if that is set, else the first in PATH, else the newest that
 * Debian has. @throws Error that says what to install, or that nobody may run it
 */
export const findPostgres = (env: Environment = process.env, root = DEBIAN): string => {
  const folder = folderOf(env, root)
  unprivileged()
  return folder
}

const folderOf = (env: Environment, root: string): string => {
  const configured = env.PARLEY_POSTGRES_BIN
  if (configured !== undefined && configured !== '') {
    if (isWhole(configured)) return configured
    throw new Error(`PARLEY_POSTGRES_BIN is ${configured}, where there is no initdb and postgres`)
  }
  const path = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  const found = [...path, ...debianFolders(root)].find(isWhole)
  // Through a link, since only some of the programs may be linked into PATH.
  if (found !== undefined) return dirname(realpathSync(join(found, 'postgres')))
  throw new Error(
    'neither PATH nor /usr/lib/postgresql has initdb and postgres: install the server (Debian: postgresql, ' +
      'Homebrew: postgresql@17), or say in PARLEY_POSTGRES_BIN where they are',
  )
}

export type Account = { readonly uid: number; readonly gid: number }

const idOf = (flag: string, name: string): number =>
  Number(
    execFileSync('id', [flag, name], {
      encoding: 'utf8',
      timeout: ID_MS,
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  )

/** Undefined when this process is not root: then the server runs as whoever runs it. @throws Error when there is nobody */
export const unprivileged = (): Account | undefined => {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ACCOUNTS) {
    try {
      return { uid: idOf('-u', name), gid: idOf('-g', name) }
    } catch {
      // The next one.
    }
  }
  throw new Error(
    `PostgreSQL does not run as root, and there is no account ${ACCOUNTS.join(' or ')}`,
  )
}
