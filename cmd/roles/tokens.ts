/** The keys of a node: in its data directory, made on the first start. */
import { join } from 'node:path'
import type { Config } from '../../lib/config.ts'
import { openTokens, TOKEN_DEFAULTS, type Tokens } from '../../lib/tokens/tokens.ts'

export const openNodeTokens = (config: Config): Promise<Tokens> =>
  openTokens(join(config.data, 'keys'), {
    ...TOKEN_DEFAULTS,
    accessTtlMs: config.accessMinutes * 60_000,
    resumeTtlMs: config.resumeHours * 3_600_000,
  })
