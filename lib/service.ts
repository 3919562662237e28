/**
 * The life of a part of a process. Parts are started in the order in which they are listed, each when the one before
 * it serves, and drained in reverse, so that whatever a part stands on outlives it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'

export interface Service {
  readonly name: string
  /** Resolves when it serves. Once `signal` aborts it gives up, leaving nothing behind, and rejects. */
  start(signal: AbortSignal): Promise<void>
  /**
   * Takes nothing new, finishes what it has, gives everything back; called at most once, and only after `start`
   * resolved. `deadline` is in milliseconds of `Clock.monotonic`: past it, it lets go of what is unfinished.
   */
  drain(deadline: number): Promise<void>
}

/** What a service gets to let go of its resources when those after it have used up the deadline. */
const GRACE_MS = 250

export type GroupOptions = { readonly name: string; readonly log: Log; readonly clock: Clock }

/**
 * Several services as one. When one fails to start, those before it are drained and the failure is thrown. Draining
 * goes through all of them whatever one does; failures come as one AggregateError at the end.
 */
export const serviceGroup = (services: readonly Service[], options: GroupOptions): Service => {
  const { name, log, clock } = options
  const started: Service[] = []

  const drainOne = async (service: Service, deadline: number): Promise<void> => {
    const until = Math.max(deadline, clock.monotonic() + GRACE_MS)
    const given = new AbortController()
    const out = delay(until - clock.monotonic(), 'out' as const, { signal: given.signal })
    const drained = service.drain(deadline)
    try {
      if ((await Promise.race([drained, out])) === 'out') {
        // It may still fail later; by then this failure has been reported in its place.
        drained.catch(() => undefined)
        throw new Error(`${service.name} did not drain in time`)
      }
      log.debug({ service: service.name }, 'service.drained')
    } finally {
      given.abort()
      out.catch(() => undefined)
    }
  }

  const drain = async (deadline: number): Promise<void> => {
    const failures: unknown[] = []
    for (let service = started.pop(); service !== undefined; service = started.pop()) {
      try {
        await drainOne(service, deadline)
      } catch (err) {
        log.error({ service: service.name, err }, 'service.drain_failed')
        failures.push(err)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `${name} did not drain cleanly`)
  }

  return {
    name,
    start: async (signal) => {
      try {
        for (const service of services) {
          signal.throwIfAborted()
          await service.start(signal)
          started.push(service)
          log.debug({ service: service.name }, 'service.started')
        }
      } catch (error) {
        // The failure to start is what matters; drain has logged its own.
        await drain(clock.monotonic()).catch(() => undefined)
        throw error
      }
    },
    drain,
  }
}
