/** For a process that does not make the cluster: waits for NATS, and for the cluster on it, as long as it takes. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Nats } from '../../lib/bus/bus.ts'
import { connectNats } from '../../lib/bus/nats.ts'
import { systemClock } from '../../lib/clock.ts'
import { ParleyError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { IncompatibleError } from '../../nats/provision.ts'
import type { FixedShape } from '../../nats/shape.ts'
import { shapeOf } from './nats.ts'

export type Cluster = { readonly nats: Nats; readonly shape: FixedShape }

export type ClusterWait = {
  /** Asked before each attempt: whoever launches NATS may give it another port meanwhile. */
  readonly urls: () => readonly string[]
  readonly name: string
  readonly log: Log
  /** Told what it waits for, in words for an operator. */
  readonly waiting: (why: string) => void
}

const FIRST_PAUSE_MS = 100
const MOST_PAUSE_MS = 3_000
/** The same reason is logged again after this long. */
const SAY_AGAIN_MS = 30_000

/**
 * Errors: the reason of `signal`; what waiting does not mend: `IncompatibleError`, and a nats-server that wants
 * credentials. Everything else is waited for, longer after each attempt, and said in the log.
 */
export const awaitCluster = async (wait: ClusterWait, signal: AbortSignal): Promise<Cluster> => {
  const { urls, name, log, waiting } = wait
  const began = systemClock.monotonic()
  let said = { why: '', at: Number.NEGATIVE_INFINITY }
  for (let ms = FIRST_PAUSE_MS; ; ms = Math.min(2 * ms, MOST_PAUSE_MS)) {
    try {
      return await unlessAborted(open(urls(), name), signal)
    } catch (err) {
      signal.throwIfAborted()
      if (!(err instanceof ParleyError && err.canRetry)) throw err
      const at = systemClock.monotonic()
      const why = err.message
      waiting(why)
      if (why !== said.why || at - said.at >= SAY_AGAIN_MS) {
        said = { why, at }
        log.warn({ err, seconds: Math.round((at - began) / 1000) }, 'cluster.awaited')
      }
    }
    // Many processes that lost the same server must not come back in one moment.
    await pause(ms * (0.5 + Math.random() / 2), undefined, { signal })
  }
}

/** An attempt takes its own time to fail; whoever is told to stop does not wait for that. */
const unlessAborted = async (attempt: Promise<Cluster>, signal: AbortSignal): Promise<Cluster> => {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => {
    reject(signal.reason)
    // Its failure is nobody's any more.
    attempt.then(({ nats }) => nats.close()).catch(() => undefined)
  }
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([attempt, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

const open = async (urls: readonly string[], name: string): Promise<Cluster> => {
  const nats = await connectNats({ servers: urls, name }).catch((error: unknown) => {
    throw wantsCredentials(error)
      ? new Error(`${urls.join(', ')} wants credentials: Parley has none.`)
      : error
  })
  try {
    return { nats, shape: await shapeThere(nats, urls) }
  } catch (error) {
    await nats.close()
    throw error
  }
}

/** By name: the driver's own classes are known in lib/bus alone. */
const wantsCredentials = (error: unknown): boolean =>
  error instanceof ParleyError &&
  error.cause instanceof Error &&
  error.cause.name === 'AuthorizationError'

const shapeThere = async (nats: Nats, urls: readonly string[]): Promise<FixedShape> => {
  try {
    const bucket = await nats.bucket('cluster')
    // Looked at first: it says at once that there is none yet, and that may still come.
    if ((await bucket.get('shape')) !== undefined) return await shapeOf(urls)
  } catch (cause) {
    if (cause instanceof IncompatibleError) throw cause
    throw notThere(urls, cause)
  }
  throw notThere(urls)
}

const notThere = (urls: readonly string[], cause?: unknown): ParleyError =>
  new ParleyError('unavailable', {
    detail:
      `The nats-server at ${urls.join(', ')} has no Parley cluster yet, or its JetStream does not answer; ` +
      'start a host on it (parley up --no-gateway), or check the address.',
    cause,
  })
