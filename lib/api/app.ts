/** The HTTP server without its socket: plugins, one shape of refusal, routes. */
import cors from '@fastify/cors'
import rateLimit from '@fastify/rate-limit'
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import { ParleyError } from '../errors.ts'
import { bareApp } from './bare-app.ts'
import { documentation } from './documentation.ts'
import { MINUTE } from './limits.ts'
import type { ApiParts, App } from './parts.ts'
import { sendRefusal } from './refusals.ts'
import { accountRoutes } from './routes/accounts.ts'
import { deviceRoutes } from './routes/devices.ts'
import { operationRoutes } from './routes/operations.ts'
import { peopleRoutes } from './routes/people.ts'

/** Addresses whose requests are counted at the same time; the least recent are forgotten. */
const COUNTED = 20_000

export const buildApp = async (parts: ApiParts): Promise<App> => {
  const { config, log } = parts
  const trusted = config.trustProxy
  const trustProxy = typeof trusted === 'boolean' ? trusted : [...trusted]
  const app = bareApp({ bodyLimit: config.bodyLimit, trustProxy }, log)
  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  // JSON alone: what a form on a stranger's page can send without asking is refused.
  app.removeContentTypeParser('text/plain')
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none'
    parts.observe?.(route, reply.statusCode, reply.elapsedTime / 1000)
  })

  await app.register(cors, {
    origin: [...config.origins],
    methods: ['GET', 'POST', 'PATCH', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type'],
    exposedHeaders: ['retry-after'],
    maxAge: 600,
  })
  await app.register(rateLimit, {
    max: config.rates.perAddress,
    timeWindow: MINUTE,
    cache: COUNTED,
    errorResponseBuilder: (_request, { ttl }) => new ParleyError('rate', { retryAfterMs: ttl }),
  })
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, async (_request, reply) => {
    await sendRefusal(reply, new ParleyError('not_found'))
  })
  await documentation(app, config.docs)
  accountRoutes(app, parts)
  deviceRoutes(app, parts)
  peopleRoutes(app, parts)
  operationRoutes(app, parts)
  await app.ready()
  return app
}
