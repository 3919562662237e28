/** What operators and their machines ask a process: whether it lives, whether it can do its work, what it measures. */
import { setTimeout as delay } from 'node:timers/promises'
import { Type } from 'typebox'
import type { App } from '../parts.ts'
import { REFUSALS, type RefusalReply, STATUS } from '../refusals.ts'

export type ProbeParts = {
  /** Why this process can't do its work now, in words for an operator; undefined when it can. */
  readonly unready: () => Promise<string | undefined>
  /** What /metrics serves. */
  readonly metrics?: { readonly contentType: string; text(): Promise<string> } | undefined
}

/** A part that does not answer in this time is not there. */
const READY_MS = 1_000
const AGAIN_MS = 1_000

const StatusReply = Type.Object({ status: Type.String() })
const tags = ['operations']
const unlimited = { rateLimit: false } as const

export const probeRoutes = (app: App, { unready, metrics }: ProbeParts): void => {
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
      const why = await inTime(unready)
      if (why === undefined) return { status: 'ready' }
      // Not thrown: a probe that asks every second and is told "not yet" is nothing for the log.
      const body = { error: 'unavailable', message: why, retryAfterMs: AGAIN_MS } as const
      reply.code(STATUS.unavailable).header('retry-after', AGAIN_MS / 1000)
      return body satisfies RefusalReply['body']
    },
  )

  if (metrics === undefined) return
  app.get(
    '/metrics',
    { config: unlimited, schema: { summary: 'In the text format of Prometheus', tags } },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  )
}

const inTime = async (unready: ProbeParts['unready']): Promise<string | undefined> => {
  const given = new AbortController()
  const late = delay(READY_MS, 'a part of the process does not answer', { signal: given.signal })
  late.catch(() => undefined)
  try {
    return await Promise.race([unready(), late])
  } catch {
    return 'a part of the process has failed'
  } finally {
    given.abort()
  }
}
