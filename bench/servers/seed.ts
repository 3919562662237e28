/** Users with tokens, made by bulk insert before the servers start: a login would cost 45 ms of CPU each. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { SeededUser } from '../../lib/api/seed.ts'

const run = promisify(execFile)
const ENTRY = fileURLToPath(new URL('../../cmd/parley.ts', import.meta.url))
const SEED_MS = 300_000
const MOST_OUTPUT = 512 * 1024 * 1024

/** `settings` name the data directory, which nothing serves yet. */
export const seedUsers = async (
  count: number,
  settings: readonly string[],
): Promise<SeededUser[]> => {
  const args = [ENTRY, 'seed', '--users', String(count), '--json', ...settings]
  const options = { timeout: SEED_MS, maxBuffer: MOST_OUTPUT }
  const { stdout } = await run(process.execPath, args, options)
  const users = parseUsers(stdout)
  if (users.length !== count) throw new Error(`${users.length} users were made, not ${count}`)
  return users
}

/** One JSON object a line. @throws Error for a line that is no user */
export const parseUsers = (output: string): SeededUser[] =>
  output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => {
      const user = JSON.parse(line) as Partial<SeededUser>
      const { user: id, device, accessToken, resumeToken } = user
      if (![id, device, accessToken, resumeToken].every((text) => typeof text === 'string')) {
        throw new Error(`not a user with tokens: ${line.slice(0, 80)}`)
      }
      return user as SeededUser
    })
