/** The keys of all tokens: the same for every API and every gateway. Only an API makes them, on the first start. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../lib/config.ts'
import { ParleyError } from '../../lib/errors.ts'
import { openTokens, TOKEN_DEFAULTS, type Tokens } from '../../lib/tokens/tokens.ts'
import type { Frame } from './role.ts'
import { untilThere } from './until-there.ts'

type Keys = Pick<Config, 'keys' | 'data'>

const keysIn = ({ keys, data }: Keys): string => (keys === '' ? join(data, 'keys') : keys)

export const tokensFile = (config: Keys): string => join(keysIn(config), 'tokens.json')

/** For a process that makes none: whether an API puts them where it looks, or somebody has to. */
export const keysWillCome = ({ keys, natsUrl }: Pick<Config, 'keys' | 'natsUrl'>): boolean =>
  keys !== '' || natsUrl.length === 0

/** Made when there are none: for whoever signs. */
export const openNodeTokens = (config: Config): Promise<Tokens> =>
  openTokens(keysIn(config), {
    ...TOKEN_DEFAULTS,
    accessTtlMs: config.accessMinutes * 60_000,
    resumeTtlMs: config.resumeHours * 3_600_000,
  })

/** Waits for the API to make them: for whoever verifies. */
export const awaitTokens = (
  { config, log, waiting }: Frame,
  signal: AbortSignal,
): Promise<Tokens> => {
  const file = tokensFile(config)
  const open = async (): Promise<Tokens> => {
    if (existsSync(file)) return openNodeTokens(config)
    throw new ParleyError('unavailable', {
      detail: `${file} is missing: an API makes it (parley api, or parley up), or name the directory of its keys with --keys`,
      retryAfterMs: 1,
    })
  }
  // What is there and can't be used, waiting does not mend.
  const mends = (error: ParleyError) => error.retryAfterMs > 0
  const close = async (): Promise<void> => {}
  return untilThere({ open, close, mends }, { event: 'keys.awaited', log, waiting }, signal)
}
