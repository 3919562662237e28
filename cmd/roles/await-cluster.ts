/** For a process beside others: waits for NATS, and for the cluster on it, as long as it takes. */
import type { Nats } from '../../lib/bus/bus.ts'
import { connectNats } from '../../lib/bus/nats.ts'
import { ParleyError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { IncompatibleError } from '../../nats/provision.ts'
import type { FixedShape } from '../../nats/shape.ts'
import { shapeOf } from './nats.ts'
import { untilThere } from './until-there.ts'

export type Cluster = { readonly nats: Nats; readonly shape: FixedShape }

export type ClusterWait = {
  /** Asked before each attempt: whoever launches NATS may give it another port meanwhile. */
  readonly urls: () => readonly string[]
  readonly name: string
  readonly log: Log
  /** Told what it waits for, in words for an operator. */
  readonly waiting: (why: string) => void
  /** Makes streams and buckets and tells their shape; without it they are waited for. */
  readonly make?: ((urls: readonly string[]) => Promise<FixedShape>) | undefined
}

/**
 * Errors: the reason of `signal`; what waiting does not mend: `IncompatibleError`, and a nats-server that wants
 * credentials. Everything else is waited for, longer after each attempt, and said in the log.
 */
export const awaitCluster = (wait: ClusterWait, signal: AbortSignal): Promise<Cluster> => {
  const { urls, name, log, waiting, make } = wait
  const attempt = {
    open: () => open(urls(), name, make),
    close: ({ nats }: Cluster) => nats.close(),
  }
  return untilThere(attempt, { event: 'cluster.awaited', log, waiting }, signal)
}

const open = async (
  urls: readonly string[],
  name: string,
  make: ClusterWait['make'],
): Promise<Cluster> => {
  const nats = await connectNats({ servers: urls, name }).catch((error: unknown) => {
    throw wantsCredentials(error)
      ? new Error(`${urls.join(', ')} wants credentials: Parley has none.`)
      : error
  })
  try {
    const shape = await (make === undefined ? shapeThere(nats, urls) : shapeMade(urls, make))
    return { nats, shape }
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
      'start a host on it (parley host, or parley up --no-gateway), or check the address.',
    cause,
  })

/** A cluster of nats-servers that has just started may refuse for a while what it does later. */
const shapeMade = async (
  urls: readonly string[],
  make: NonNullable<ClusterWait['make']>,
): Promise<FixedShape> => {
  try {
    return await make(urls)
  } catch (cause) {
    if (cause instanceof IncompatibleError || cause instanceof ParleyError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ParleyError('unavailable', {
      detail: `The nats-server at ${urls.join(', ')} does not make the streams: ${why}`,
      cause,
    })
  }
}
