import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { ParleyError } from '../errors.ts'
import type { Service } from '../service.ts'
import { buildApp } from './app.ts'
import type { ApiParts, App } from './parts.ts'

/** The HTTP API as a part of a process. The outbox and the directory it is given must outlive it. */
export class Api implements Service {
  readonly name = 'api'
  readonly #parts: ApiParts
  #app: App | undefined
  #url = ''

  constructor(parts: ApiParts) {
    this.#parts = parts
  }

  /** Where it listens, once started: `http://host:port`. */
  get url(): string {
    return this.#url
  }

  /** Error: `unavailable`, with the reason in words, when the port is taken. */
  async start(signal: AbortSignal): Promise<void> {
    const { host, port } = this.#parts.config
    const app = await buildApp(this.#parts)
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
    this.#url = `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`
    this.#app = app
    this.#parts.log.info({ url: this.#url }, 'api.listening')
  }

  /** Finishes the requests it has; at the deadline it hangs up on the rest. */
  async drain(deadline: number): Promise<void> {
    const app = this.#app
    if (app === undefined) return
    const given = new AbortController()
    const left = Math.max(deadline - this.#parts.clock.monotonic(), 0)
    const out = delay(left, undefined, { signal: given.signal }).then(
      () => app.server.closeAllConnections(),
      () => undefined,
    )
    await app.close()
    given.abort()
    await out
  }
}
