/**
 * Trims LOG_k and INBOX_k below what everybody has stored (contracts L0), and watches how full they are. The owner of
 * the lowest partition of a stream trims it; two who both think so do no harm, since every position only rises and an
 * old one only trims less.
 *
 * Owns: nothing but what it last saw of the streams.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Nats, StreamState } from '../bus/bus.ts'
import { fromJson } from '../bus/cluster.ts'
import { checkpointKey, inboxFloorKey, Positions } from '../bus/positions.ts'
import { floorKey, PROJECTIONS_KEY, readFloor, trimFloor } from '../bus/projections.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import { logSubject, streamOf } from '../subjects.ts'
import { fillOf, isStale, type LogPositions, roomTargets, trimTargets } from './trim-targets.ts'

/** How often the streams are looked at, and how often they are trimmed. */
const LOOK_MS = 2000
const TRIM_MS = 10_000
/** From here on clients' durable commands are refused, and trimming is tried at every look. */
export const FULL = 0.8
/** Reads at once. */
const AT_ONCE = 16

/** Counts even before it is registered: what it has not stored is nowhere else. */
const HISTORY = 'history'

export type TrimmerOptions = {
  readonly nats: Nats
  readonly clock: Clock
  readonly log: Log
  readonly partitions: number
  /** K: streams of each family. */
  readonly streams: number
  /** The last committed record of a partition that this host serves; undefined when it serves it not. */
  lastOf(p: number): number | undefined
  /** The partition's last record holds up trimming: a tick is due. */
  onStale(p: number): void
}

type Seen = { readonly log: StreamState; readonly inbox: StreamState }

export class Trimmer {
  readonly #options: TrimmerOptions
  readonly #life = new AbortController()
  readonly #seen: (Seen | undefined)[]
  readonly #trimmedAt: number[]
  readonly #making = new Map<number, Promise<boolean>>()
  #running: Promise<void> | undefined

  constructor(options: TrimmerOptions) {
    this.#options = options
    this.#seen = new Array<Seen | undefined>(options.streams).fill(undefined)
    this.#trimmedAt = new Array<number>(options.streams).fill(Number.NEGATIVE_INFINITY)
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#life.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#life
    while (!signal.aborted) {
      await this.look()
      // Rejects when stopped, which the condition sees.
      await pause(LOOK_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  /**
   * How full the log of partition `p` was when last looked at, 0 to 1; without `p`, the fullest of those in which this
   * host serves a partition. 0 when that is not known.
   */
  logFill(p?: number): number {
    return this.#fill('log', p)
  }

  /** The same of inboxes. */
  inboxFill(p?: number): number {
    return this.#fill('inbox', p)
  }

  #fill(family: keyof Seen, p: number | undefined): number {
    const seen = p === undefined ? this.#seen : [this.#seen[p % this.#options.streams]]
    return Math.max(0, ...seen.map((its) => (its === undefined ? 0 : fillOf(its[family]))))
  }

  /** Looks at the streams in which this host serves a partition, and trims what is due. Failures are logged. */
  async look(): Promise<void> {
    for (let k = 0; k < this.#options.streams && !this.#life.signal.aborted; k++) {
      try {
        await this.#lookAt(k)
      } catch (err) {
        this.#options.log.warn({ err, k }, 'trim.failed')
      }
    }
  }

  async #lookAt(k: number): Promise<void> {
    const { nats, clock, streams, lastOf, onStale } = this.#options
    const served = this.#partitions(k).filter((p) => lastOf(p) !== undefined)
    if (served.length === 0) {
      this.#seen[k] = undefined
      return
    }
    const [log, inbox] = await Promise.all([
      nats.streams.state(streamOf('LOG', k, streams)),
      nats.streams.state(streamOf('INBOX', k, streams)),
    ])
    this.#seen[k] = { log, inbox }
    for (const p of served) {
      const last = lastOf(p)
      if (last !== undefined && isStale(last, log)) onStale(p)
    }
    const now = clock.monotonic()
    const full = fillOf(log) >= FULL || fillOf(inbox) >= FULL
    // The lowest partition of stream k is k.
    if (served[0] === k && (full || now - this.#trimmedAt[k]! >= TRIM_MS)) {
      this.#trimmedAt[k] = now
      await this.#trim(k, { log, inbox })
    }
  }

  async #trim(k: number, seen: Seen): Promise<void> {
    const { streams } = this.#options
    const kept = await this.#kept()
    const inboxFloors = await inTurn(this.#partitions(k), (p) => kept.read(inboxFloorKey(p)))
    const targets = trimTargets({ ...(await this.#positions(k)), inboxFloors })
    await this.#purge(streamOf('LOG', k, streams), seen.log, targets.log)
    await this.#purge(streamOf('INBOX', k, streams), seen.inbox, targets.inbox)
  }

  /** A target past the end means that the stream is not the one that the positions are of: nothing is trimmed then. */
  async #purge(stream: string, state: StreamState, below: number | undefined): Promise<void> {
    if (below === undefined || below <= state.firstSeq || this.#life.signal.aborted) return
    if (below > state.lastSeq) {
      this.#options.log.warn({ stream, below, last: state.lastSeq }, 'trim.beyond_end')
      return
    }
    await this.#options.nats.streams.purge(stream, below)
    this.#options.log.debug({ stream, below }, 'trim.trimmed')
  }

  /**
   * The log of `p` is full even for its owner (10077): drops from the other partitions of its stream what each has
   * stored. True when there is room again; false asks for a larger max_bytes. @throws ParleyError unavailable
   */
  makeRoom(p: number): Promise<boolean> {
    const k = p % this.#options.streams
    let work = this.#making.get(k)
    if (work === undefined) {
      work = this.#makeRoom(p, k).finally(() => this.#making.delete(k))
      this.#making.set(k, work)
    }
    return work
  }

  async #makeRoom(p: number, k: number): Promise<boolean> {
    const { nats, streams, log } = this.#options
    const stream = streamOf('LOG', k, streams)
    const before = await nats.streams.state(stream)
    const targets = roomTargets(await this.#positions(k))
    for (const [i, q] of this.#partitions(k).entries()) {
      const below = targets[i]
      if (q === p || below === undefined || below > before.lastSeq) continue
      await nats.streams.purge(stream, below, logSubject(q))
    }
    const after = await nats.streams.state(stream)
    // Whoever writes knows at once, not at the next look.
    const seen = this.#seen[k]
    if (seen !== undefined) this.#seen[k] = { ...seen, log: after }
    const freed = before.bytes - after.bytes
    if (freed > 0) log.warn({ stream, freed }, 'trim.made_room')
    else log.error({ stream, maxBytes: after.maxBytes }, 'trim.log_full')
    return freed > 0
  }

  async #positions(k: number): Promise<LogPositions> {
    const { nats, streams } = this.#options
    const stream = streamOf('LOG', k, streams)
    const partitions = this.#partitions(k)
    const [cluster, checkpointed] = await Promise.all([
      nats.bucket('cluster'),
      nats.bucket('checkpoints'),
    ])
    const kept = new Positions(checkpointed)
    const entry = await cluster.get(PROJECTIONS_KEY)
    const registered = entry?.value === undefined ? [] : fromJson<string[]>(entry.value)
    const projections = [...new Set([HISTORY, ...registered])]
    const floors = await inTurn(projections, async (name) =>
      trimFloor(readFloor((await checkpointed.get(floorKey(name, k)))?.value)),
    )
    const checkpoints = await inTurn(partitions, (p) => kept.read(checkpointKey(p)))
    const lastRecords = await inTurn(
      partitions,
      async (p) => (await nats.streams.last(stream, logSubject(p)))?.seq,
    )
    return { floors, checkpoints, lastRecords }
  }

  async #kept(): Promise<Positions> {
    return new Positions(await this.#options.nats.bucket('checkpoints'))
  }

  /** Those of stream k, the lowest first. */
  #partitions(k: number): number[] {
    const { partitions, streams } = this.#options
    const its: number[] = []
    for (let p = k; p < partitions; p += streams) its.push(p)
    return its
  }
}

/** A few at once; the results in order. */
const inTurn = async <T, R>(items: readonly T[], ask: (item: T) => Promise<R>): Promise<R[]> => {
  const results: R[] = []
  for (let i = 0; i < items.length; i += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(i, i + AT_ONCE).map(ask))))
  }
  return results
}
