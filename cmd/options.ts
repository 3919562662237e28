/** Settings as command-line options: every row of lib/config.ts, one spelling each. */
import { type Command, Option } from 'commander'
import { type Config, optionName, readConfig, SETTINGS } from '../lib/config.ts'

export const withSettings = (command: Command): Command => {
  for (const [name, { doc, default: initial }] of Object.entries(SETTINGS)) {
    const option = new Option(`--${optionName(name)} <value>`, `${doc} (${shown(initial)})`)
    command.addOption(option)
  }
  return command
}

const shown = (value: unknown): string =>
  value === '' || (Array.isArray(value) && value.length === 0) ? 'none' : String(value)

export const configOf = (options: Record<string, unknown>): Config => readConfig(options)
