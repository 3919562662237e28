import { setTimeout as delay } from 'node:timers/promises'
import {
  JetStreamApiError,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream'
import { type KV, Kvm } from '@nats-io/kv'
import type { NatsConnection } from '@nats-io/nats-core'
import { type Difference, differences } from './difference.ts'
import { type FixedShape, type Shape, WIRE } from './shape.ts'
import { bucketStream, type StreamSpec, streamsOf } from './streams.ts'

export interface Change extends Difference {
  readonly stream: string
}

export interface Provisioned {
  readonly created: readonly string[]
  readonly changed: readonly Change[]
}

/** The cluster is another than the one that this process would work with; the message says what to do. */
export class IncompatibleError extends Error {
  override readonly name = 'IncompatibleError'
}

const SHAPE_KEY = 'shape'
const REQUEST_MS = 5_000
const DEADLINE_MS = 30_000
const RETRY_MS = 100
const AT_ONCE = 8

const NOT_FOUND = 10059
const NAME_IN_USE = 10058
const WRONG_LAST_SEQUENCE = 10071
/** No suitable peers, JetStream not available for now, no response from a stream's new leader: a cluster that has just started. */
const TEMPORARY: ReadonlySet<number> = new Set([10005, 10008, 10023, 10118])

/** The second is what a write to a stream gets that its server has not heard of yet. */
const TEMPORARY_NAMES: ReadonlySet<string> = new Set(['TimeoutError', 'JetStreamNotEnabled'])

const isApiError = (error: unknown, code: number): boolean =>
  error instanceof JetStreamApiError && error.code === code

/** Tries again while a cluster is still settling; every step is idempotent. */
const settled = async <T>(step: () => Promise<T>): Promise<T> => {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    try {
      return await step()
    } catch (error) {
      const temporary =
        error instanceof JetStreamApiError
          ? TEMPORARY.has(error.code)
          : error instanceof Error && TEMPORARY_NAMES.has(error.name)
      if (!temporary || performance.now() > deadline) throw error
      await delay(RETRY_MS)
    }
  }
}

const show = (value: unknown): string => JSON.stringify(value) ?? 'unset'

const ensureStream = async (
  jsm: JetStreamManager,
  spec: StreamSpec,
): Promise<readonly Change[] | 'created'> => {
  const existing = await jsm.streams.info(spec.name).catch((error: unknown) => {
    if (isApiError(error, NOT_FOUND)) return undefined
    throw error
  })
  if (existing === undefined) {
    try {
      await jsm.streams.add(spec)
      return 'created'
    } catch (error) {
      // Another process made it meanwhile.
      if (isApiError(error, NAME_IN_USE)) return ensureStream(jsm, spec)
      throw error
    }
  }
  const found = differences(existing.config, spec)
  const fixed = found.filter((difference) => difference.fixed)
  if (fixed.length > 0) {
    throw new IncompatibleError(
      [
        `Stream ${spec.name} can't be made what this version of Parley declares:`,
        ...fixed.map(({ field, is, wanted }) => `  - ${field} is ${show(is)}, not ${show(wanted)}`),
        'Start with the settings that this data was made with, or with an empty data directory.',
      ].join('\n'),
    )
  }
  if (found.length > 0) await jsm.streams.update(spec.name, spec)
  return found.map((difference) => ({ ...difference, stream: spec.name }))
}

const parseShape = (text: string): FixedShape => {
  const value: unknown = JSON.parse(text)
  const fields = value as Partial<Record<keyof FixedShape, unknown>> | null
  const { wire, partitions, streams } = fields ?? {}
  if (typeof wire !== 'number' || typeof partitions !== 'number' || typeof streams !== 'number') {
    throw new IncompatibleError(`KV cluster holds a shape that can't be read: ${text}`)
  }
  return { wire, partitions, streams }
}

const openCluster = (nc: NatsConnection): Promise<KV> =>
  new Kvm(jetstream(nc, { timeout: REQUEST_MS })).open('cluster')

/** Undefined when no cluster was made yet. */
const storedShape = async (nc: NatsConnection): Promise<FixedShape | undefined> => {
  const kv = await openCluster(nc)
  try {
    const entry = await kv.get(SHAPE_KEY)
    return entry === null ? undefined : parseShape(entry.string())
  } catch (error) {
    if (isApiError(error, NOT_FOUND)) return undefined
    throw error
  }
}

const MEANING: Readonly<Record<keyof FixedShape, string>> = {
  wire: 'internal wire version',
  partitions: 'partitions (P)',
  streams: 'streams of each family (K)',
}

const requireSame = (is: FixedShape, wanted: FixedShape): void => {
  const lines: string[] = []
  for (const field of ['wire', 'partitions', 'streams'] as const) {
    if (is[field] !== wanted[field]) {
      lines.push(
        `  - ${MEANING[field]}: the cluster has ${is[field]}, this process ${wanted[field]}`,
      )
    }
  }
  if (lines.length === 0) return
  throw new IncompatibleError(
    [
      'This cluster was made with another shape, which is fixed when a cluster is made:',
      ...lines,
      'Start with the numbers of the cluster (and, for the wire version, with the release that made it), ' +
        'or make a new cluster in an empty data directory.',
    ].join('\n'),
  )
}

/** Fixes the shape of a new cluster; when another process was first, its shape counts. */
const fixShape = async (nc: NatsConnection, fixed: FixedShape): Promise<void> => {
  const kv = await openCluster(nc)
  try {
    await kv.create(SHAPE_KEY, JSON.stringify(fixed))
  } catch (error) {
    if (!isApiError(error, WRONG_LAST_SEQUENCE)) throw error
    const is = await storedShape(nc)
    if (is === undefined) throw error
    requireSame(is, fixed)
  }
}

/**
 * Makes the streams and buckets of a cluster, or brings those that exist up to what is declared. May be repeated, and
 * be run by several processes at once. Throws `IncompatibleError` when the cluster has another shape or a stream
 * can't be changed to what is declared; nothing is changed then but what came before it.
 */
export const provision = async (nc: NatsConnection, shape: Shape): Promise<Provisioned> => {
  const jsm = await settled(() => jetstreamManager(nc, { timeout: REQUEST_MS }))
  const created: string[] = []
  const changed: Change[] = []
  const ensure = async (...specs: StreamSpec[]): Promise<void> => {
    // Each replicated stream waits for an election of its own, so they are made side by side; told in their order.
    const results = await Promise.all(specs.map((spec) => settled(() => ensureStream(jsm, spec))))
    for (const [i, result] of results.entries()) {
      if (result === 'created') created.push(specs[i]!.name)
      else changed.push(...result)
    }
  }

  // The shape before all else: a process with other numbers must not touch a single stream.
  const fixed = { wire: shape.wire, partitions: shape.partitions, streams: shape.streams }
  const is = await settled(() => storedShape(nc))
  if (is !== undefined) requireSame(is, fixed)
  const cluster = bucketStream('cluster', shape)
  await ensure(cluster)
  if (is === undefined) await settled(() => fixShape(nc, fixed))
  const rest = streamsOf(shape).filter((spec) => spec.name !== cluster.name)
  while (rest.length > 0) await ensure(...rest.splice(0, AT_ONCE))
  return { created, changed }
}

/**
 * The shape of the cluster behind a connection, for processes that did not make it. Throws `IncompatibleError` when
 * there is none yet or when it speaks another wire version.
 */
export const readShape = async (nc: NatsConnection): Promise<FixedShape> => {
  const is = await settled(() => storedShape(nc))
  if (is === undefined) {
    throw new IncompatibleError(
      'No Parley cluster was made on this NATS server yet: start a host first.',
    )
  }
  requireSame(is, { ...is, wire: WIRE })
  return is
}
