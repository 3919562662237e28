/** /health, /ready and /metrics alone, for a process without the API. */
import type { Clock } from '../clock.ts'
import { ParleyError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Service } from '../service.ts'
import { bareApp, closeApp, listenOn } from './bare-app.ts'
import type { App } from './parts.ts'
import { sendRefusal } from './refusals.ts'
import { type ProbeParts, probeRoutes } from './routes/probes.ts'

export type OperationsParts = ProbeParts & {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly log: Pick<Log, 'info' | 'error'>
  readonly clock: Clock
}

/** Nothing that is asked here has a body. */
const BODY_BYTES = 1024

export class Operations implements Service {
  readonly name = 'operations'
  readonly #parts: OperationsParts
  #app: App | undefined
  #url = ''

  constructor(parts: OperationsParts) {
    this.#parts = parts
  }

  /** Where it listens, once started: `http://host:port`. */
  get url(): string {
    return this.#url
  }

  /** @throws ParleyError unavailable, with the reason in words, when the port is taken */
  async start(signal: AbortSignal): Promise<void> {
    const { log } = this.#parts
    const app = bareApp({ bodyLimit: BODY_BYTES }, log)
    app.setNotFoundHandler(async (_request, reply) => {
      await sendRefusal(reply, new ParleyError('not_found'))
      return reply
    })
    probeRoutes(app, this.#parts)
    this.#url = await listenOn(app, this.#parts, signal)
    this.#app = app
    log.info({ url: this.#url }, 'operations.listening')
  }

  async drain(deadline: number): Promise<void> {
    if (this.#app !== undefined) await closeApp(this.#app, this.#parts.clock, deadline)
  }
}
