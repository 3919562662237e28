/** An HTTP server that answers nothing yet, but refuses in one shape; on which address it listens, and how it ends. */
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import fastify, { type FastifyServerOptions } from 'fastify'
import type { Clock } from '../clock.ts'
import { ERRORS, type ErrorCode, ParleyError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { App } from './parts.ts'
import { refusalOf, sendRefusal } from './refusals.ts'

const REQUEST_MS = 15_000
const KEEP_ALIVE_MS = 30_000

type Given = Pick<FastifyServerOptions, 'bodyLimit' | 'trustProxy'>

export const bareApp = (given: Given, log: Pick<Log, 'error'>): App => {
  const app: App = fastify({
    ...given,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 64 },
    frameworkErrors: (error, _request, reply) => void sendRefusal(reply, error),
    clientErrorHandler: (error, socket) => closeBadSocket(error, socket),
  })
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

/**
 * Where it listens then: `http://host:port`. When it can't, the app is closed.
 * @throws ParleyError unavailable, with the reason in words, when the port is taken
 */
export const listenOn = async (
  app: App,
  { host, port }: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<string> => {
  try {
    signal.throwIfAborted()
    await app.listen({ host, port })
  } catch (cause) {
    await app.close()
    throw cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE'
      ? new ParleyError('unavailable', { detail: `${host}:${port} is taken`, cause })
      : cause
  }
  const { address, family, port: taken } = app.server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`
}

/** Finishes the requests it has; at the deadline (monotonic ms) it hangs up on the rest. */
export const closeApp = async (app: App, clock: Clock, deadline: number): Promise<void> => {
  const given = new AbortController()
  const left = Math.max(deadline - clock.monotonic(), 0)
  const out = delay(left, undefined, { signal: given.signal }).then(
    () => app.server.closeAllConnections(),
    () => undefined,
  )
  await app.close()
  given.abort()
  await out
}
