/** `parley seed`: many accounts at once, for benchmarks. */
import type { Command } from 'commander'
import { API_DEFAULTS } from '../lib/api/config.ts'
import { systemClock } from '../lib/clock.ts'
import { createLog } from '../lib/log.ts'
import { configOf, withSettings } from './options.ts'

export const registerSeed = (program: Command): void => {
  const command = program
    .command('seed')
    .description(
      'make accounts without passwords in a data directory that nothing serves, for benchmarks',
    )
    .requiredOption('--users <count>', 'how many')
    .option('--prefix <text>', 'their handles are this and a number', 'seed')
    .option('--json', 'print one object a line: user, device, handle, accessToken, resumeToken')
  withSettings(command).action(async (options: Record<string, unknown>) => {
    const config = configOf(options)
    const count = Number(options.users)
    if (!Number.isInteger(count) || count < 1 || count > 1e6) {
      throw new Error(
        `--users must be a whole number from 1 to 1000000, not "${String(options.users)}"`,
      )
    }
    const { seed } = await import('../lib/api/seed.ts')
    const { openDirectory } = await import('./roles/directory.ts')
    const { openNodeTokens } = await import('./roles/tokens.ts')
    const log = createLog({ level: config.logLevel, format: config.logFormat })
    const directory = await openDirectory(config, log, {
      onFailure: () => process.exit(1),
      signal: new AbortController().signal,
    })
    try {
      const tokens = await openNodeTokens(config)
      const parts = {
        clock: systemClock,
        config: API_DEFAULTS,
        directory,
        tokens,
      }
      const users = await seed(parts, count, String(options.prefix))
      if (options.json === true) {
        for (const user of users) process.stdout.write(`${JSON.stringify(user)}\n`)
      } else process.stdout.write(`${users.length} users made\n`)
    } finally {
      await directory.close()
    }
  })
}
