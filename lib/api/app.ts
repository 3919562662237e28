/** The HTTP server without its socket: plugins, one shape of refusal, routes. */
import type { Socket } from 'node:net'
import cors from '@fastify/cors'
import rateLimit from '@fastify/rate-limit'
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import fastify from 'fastify'
import { ERRORS, type ErrorCode, ParleyError } from '../errors.ts'
import { documentation } from './documentation.ts'
import { MINUTE } from './limits.ts'
import type { ApiParts, App } from './parts.ts'
import { refusalOf, sendRefusal } from './refusals.ts'
import { accountRoutes } from './routes/accounts.ts'
import { deviceRoutes } from './routes/devices.ts'
import { operationRoutes } from './routes/operations.ts'
import { peopleRoutes } from './routes/people.ts'

/** Addresses whose requests are counted at the same time; the least recent are forgotten. */
const COUNTED = 20_000
const REQUEST_MS = 15_000
const KEEP_ALIVE_MS = 30_000

export const buildApp = async (parts: ApiParts): Promise<App> => {
  const { config, log } = parts
  const app: App = fastify({
    bodyLimit: config.bodyLimit,
    trustProxy: typeof config.trustProxy === 'boolean' ? config.trustProxy : [...config.trustProxy],
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 64 },
    frameworkErrors: (error, _request, reply) => void sendRefusal(reply, error),
    clientErrorHandler: (error, socket) => closeBadSocket(error, socket),
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  // JSON alone: what a form on a stranger's page can send without asking is refused.
  app.removeContentTypeParser('text/plain')
  app.setErrorHandler(async (error, request, reply) => {
    const { status } = refusalOf(error)
    const route = request.routeOptions.url
    if (status >= 500) log.error({ err: error, route }, 'api.failed')
    await sendRefusal(reply, error)
  })
  app.addHook('onSend', async (_request, reply) => {
    reply.header('x-content-type-options', 'nosniff')
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  })
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

/** What is not even HTTP gets an answer in the same shape, and the connection ends. */
const closeBadSocket = (error: Error & { code?: string }, socket: Socket): void => {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, code]: [string, ErrorCode] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'too_large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'bad_request']
        : ['400 Bad Request', 'bad_request']
  const body = JSON.stringify({ error: code, message: ERRORS[code].text })
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  )
}
