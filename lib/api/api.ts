import type { Service } from '../service.ts'
import { buildApp } from './app.ts'
import { closeApp, listenOn } from './bare-app.ts'
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
    const app = await buildApp(this.#parts)
    this.#url = await listenOn(app, this.#parts.config, signal)
    this.#app = app
    this.#parts.log.info({ url: this.#url }, 'api.listening')
  }

  /** Finishes the requests it has; at the deadline it hangs up on the rest. */
  async drain(deadline: number): Promise<void> {
    if (this.#app !== undefined) await closeApp(this.#app, this.#parts.clock, deadline)
  }
}
