/** Where to connect, and whether all is well. */
import { ParleyError } from '../../errors.ts'
import type { ApiParts, App, GatewayAddress } from '../parts.ts'
import { REFUSALS } from '../refusals.ts'
import { GatewayReply } from '../shapes.ts'
import { probeRoutes } from './probes.ts'

const MOST_ALTERNATIVES = 3

/** Those that take new sessions, least loaded first; equals in random order, so that clients spread. */
export const byLoad = (
  gateways: readonly GatewayAddress[],
  random: () => number = Math.random,
): string[] =>
  gateways
    .filter(({ draining }) => !draining)
    .map(({ url, load }) => ({ url, load, chance: random() }))
    .sort((a, b) => a.load - b.load || a.chance - b.chance)
    .map(({ url }) => url)

export const operationRoutes = (app: App, parts: ApiParts): void => {
  app.get(
    '/v1/gateway',
    {
      schema: {
        summary: 'The least loaded gateway to connect to',
        tags: ['operations'],
        response: { 200: GatewayReply, ...REFUSALS },
      },
    },
    async () => {
      const [url, ...others] = byLoad(parts.gateways())
      if (url === undefined) throw new ParleyError('unavailable', { retryAfterMs: 1_000 })
      return { url, alternatives: others.slice(0, MOST_ALTERNATIVES) }
    },
  )
  probeRoutes(app, { unready: () => unready(parts), metrics: parts.metrics })
}

const unready = async ({ directory, ready }: ApiParts): Promise<string | undefined> => {
  const [answers, others] = await Promise.all([
    directory.pending(1).then(
      () => true,
      () => false,
    ),
    ready?.() ?? true,
  ])
  if (!answers) return 'the directory does not answer'
  return others ? undefined : 'not all rooms and users are served yet'
}
