/** Where to connect, and whether all is well. */
import { setTimeout as delay } from 'node:timers/promises'
import { Type } from 'typebox'
import { ParleyError } from '../../errors.ts'
import type { ApiParts, App, GatewayAddress } from '../parts.ts'
import { REFUSALS, sendRefusal } from '../refusals.ts'
import { GatewayReply } from '../shapes.ts'

const READY_MS = 1_000
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

const StatusReply = Type.Object({ status: Type.String() })
const tags = ['operations']

export const operationRoutes = (app: App, parts: ApiParts): void => {
  app.get(
    '/v1/gateway',
    {
      schema: {
        summary: 'The least loaded gateway to connect to',
        tags,
        response: { 200: GatewayReply, ...REFUSALS },
      },
    },
    async () => {
      const [url, ...others] = byLoad(parts.gateways())
      if (url === undefined) throw new ParleyError('unavailable', { retryAfterMs: 1_000 })
      return { url, alternatives: others.slice(0, MOST_ALTERNATIVES) }
    },
  )

  const unlimited = { rateLimit: false } as const
  app.get(
    '/health',
    {
      config: unlimited,
      schema: { summary: 'The process is up', tags, response: { 200: StatusReply } },
    },
    async () => ({ status: 'ok' }),
  )

  app.get(
    '/ready',
    {
      config: unlimited,
      schema: {
        summary: 'The process can do its work',
        tags,
        response: { 200: StatusReply, ...REFUSALS },
      },
    },
    async (_request, reply) => {
      if (await isReady(parts)) return { status: 'ready' }
      // Not thrown: a probe that asks every second and is told "not yet" is nothing for the log.
      await sendRefusal(reply, new ParleyError('unavailable', { retryAfterMs: 1_000 }))
      return reply
    },
  )

  const { metrics } = parts
  if (metrics === undefined) return
  app.get(
    '/metrics',
    { config: unlimited, schema: { summary: 'In the text format of Prometheus', tags } },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  )
}

const isReady = async ({ directory, ready }: ApiParts): Promise<boolean> => {
  const given = new AbortController()
  const late = delay(READY_MS, false, { signal: given.signal }).catch(() => false)
  const asked = Promise.all([directory.pending(1), ready?.() ?? true]).then(
    ([, others]) => others,
    () => false,
  )
  try {
    return await Promise.race([asked, late])
  } finally {
    given.abort()
  }
}
