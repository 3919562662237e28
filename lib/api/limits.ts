import type {} from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import { ParleyError } from '../errors.ts'
import type { App } from './parts.ts'

export const MINUTE = 60_000

/** Counts a request under a key; error `rate` when it is one too many for this minute. */
export type Limit = (request: FastifyRequest) => Promise<void>

export const limitBy = (
  app: App,
  perMinute: number,
  keyOf: (request: FastifyRequest) => string,
): Limit => {
  const count = app.createRateLimit({ max: perMinute, timeWindow: MINUTE, keyGenerator: keyOf })
  return async (request) => {
    const result = await count(request)
    if (!result.isAllowed && result.isExceeded) {
      throw new ParleyError('rate', { retryAfterMs: result.ttl })
    }
  }
}

/** The `config` of a route whose requests are counted apart, by address. */
export const perAddress = (perMinute: number) => ({
  rateLimit: { max: perMinute, timeWindow: MINUTE },
})
