/** `parley config`: every setting, what it is and what it does. */
import type { Command } from 'commander'
import { environmentName, optionName, SETTINGS } from '../lib/config.ts'
import { configOf, withSettings } from './options.ts'

/** Of a URL; anything else as it is. What is printed ends up in tickets and logs. */
export const withoutPassword = <T>(value: T): T | string =>
  typeof value === 'string' ? value.replace(/^(\w+:\/\/[^:@/]*):.*@/, '$1:***@') : value

export const registerConfig = (program: Command): void => {
  const command = program
    .command('config')
    .description('print every setting with its value')
    .option('--json', 'as one JSON object')
  withSettings(command).action((options: Record<string, unknown>) => {
    const config = configOf(options)
    if (options.json === true) {
      const shown = { ...config, postgresUrl: withoutPassword(config.postgresUrl) }
      process.stdout.write(`${JSON.stringify(shown)}\n`)
      return
    }
    for (const [name, { doc }] of Object.entries(SETTINGS)) {
      const value = withoutPassword(config[name as keyof typeof config])
      process.stdout.write(
        `--${optionName(name)}, ${environmentName(name)} = ${String(value)}\n    ${doc}\n`,
      )
    }
  })
}
