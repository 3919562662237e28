/**
 * The leases of this process on the log streams of one projection, among all processes that take part.
 *
 * Owns: its entry as a member, its leases. Never does: follow a stream.
 * I1. A stream is taken only when its lease was given back, or its holder has left or was silent for a whole window in
 *     which this process saw its own entry change: whoever hears nothing judges nobody. Time is the monotonic clock here.
 * I2. Each taking raises the epoch by CAS. That two processes follow one stream for a moment can't be ruled out (a paused
 *     one wakes up), and does no harm: writes are idempotent, and what is published goes by the epoch.
 * I3. A lease is given back after its follower has stopped.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Bucket, Entry, Unsubscribe } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import type { Clock } from '../clock.ts'
import { ParleyError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { ProjectionName } from '../metrics.ts'
import {
  idIn,
  type Lease,
  leaseKey,
  type Member,
  memberKey,
  NOTHING_WANTED,
  shareOf,
  type Wanted,
  wantedKey,
} from './shares.ts'

export type LeasesOptions = {
  /** KV `projectors`: members. Its entries vanish, so that those of the dead don't gather. */
  readonly members: Bucket
  /** KV `cluster`: leases, and what is wanted. */
  readonly cluster: Bucket
  readonly projection: ProjectionName
  readonly streams: number
  readonly member: { readonly id: string; readonly host: string; readonly pid: number }
  /** No other process can have the store open: whoever else is in the list is dead. */
  readonly exclusive: boolean
  readonly clock: Clock
  readonly log: Log
  readonly timing?: Timing
}

export type Timing = { readonly beatMs: number; readonly windowMs: number }

/** What follows from them. Nothing rejects. */
export type Holder = {
  take(stream: number, epoch: number): void
  /** Resolves when nothing of it is under way any more. */
  lose(stream: number): Promise<void>
  wanted(wanted: Wanted): void
}

const TIMING: Timing = { beatMs: 1_000, windowMs: 5_000 }

type Known = { readonly lease: Lease; readonly revision: number }

export class Leases {
  readonly #options: LeasesOptions
  readonly #timing: Timing
  readonly #holder: Holder
  readonly #life = new AbortController()
  readonly #leases: (Known | undefined)[]
  /** Member → when its entry last changed, monotonic. */
  readonly #seenAt = new Map<string, number>()
  readonly #held = new Set<number>()
  /** Of those held, what is being given back. */
  readonly #leaving = new Map<number, Promise<void>>()
  #ready = false
  #ownAt = Number.NEGATIVE_INFINITY
  /** Silence before this proves nothing. */
  #since = Number.POSITIVE_INFINITY
  #beat = 0
  #unwatch: Unsubscribe[] = []
  #watchedAt = Number.NEGATIVE_INFINITY
  #wake: () => void = () => undefined
  #running: Promise<void> = Promise.resolve()

  constructor(options: LeasesOptions, holder: Holder) {
    this.#options = options
    this.#timing = options.timing ?? TIMING
    this.#holder = holder
    this.#leases = new Array<Known | undefined>(options.streams).fill(undefined)
  }

  get held(): ReadonlySet<number> {
    return this.#held
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Stops all followers and gives everything back, so that others take over at once. */
  async stop(): Promise<void> {
    const { members, projection, member, log } = this.#options
    this.#life.abort()
    this.#wake()
    await this.#running
    for (const stop of this.#unwatch) stop()
    await Promise.all([...this.#held].map((stream) => this.#giveBack(stream)))
    try {
      await members.remove(memberKey(projection, member.id))
    } catch (err) {
      log.warn({ err }, 'projection.leave_failed')
    }
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#life
    let beatAt = Number.NEGATIVE_INFINITY
    while (!signal.aborted) {
      try {
        await this.#watch()
        const now = clock.monotonic()
        if (now - beatAt >= this.#timing.beatMs) {
          await this.#tellAll()
          beatAt = now
        }
        if (this.#ready) await this.#share()
      } catch (err) {
        log.warn({ err }, 'projection.leases_failed')
        await delay(this.#timing.beatMs, undefined, { signal }).catch(() => undefined)
      }
      await this.#change(Math.max(0, beatAt + this.#timing.beatMs - clock.monotonic()))
    }
  }

  /** Resolves after `ms`, or at once when something has changed. */
  async #change(ms: number): Promise<void> {
    if (this.#life.signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    this.#wake = resolve
    await promise
    clearTimeout(timer)
    this.#wake = () => undefined
  }

  async #tellAll(): Promise<void> {
    const { members, projection, member } = this.#options
    const { id, host, pid } = member
    const entry: Member = { beat: ++this.#beat, host, pid }
    await members.put(memberKey(projection, id), toJson(entry))
  }

  /** Watches, and watches anew when nothing came for longer than our own entry should take. */
  async #watch(): Promise<void> {
    const { clock, members, cluster } = this.#options
    const now = clock.monotonic()
    const quiet = now - Math.max(this.#ownAt, this.#watchedAt) > 2 * this.#timing.windowMs
    if (!quiet) return
    for (const stop of this.#unwatch) stop()
    this.#unwatch = []
    this.#seenAt.clear()
    this.#watchedAt = now
    let left = 2
    const take = (entry: Entry) => this.#take(entry)
    const ready = () => {
      this.#ready = --left === 0
      this.#wake()
    }
    this.#ready = false
    for (const bucket of [members, cluster]) this.#unwatch.push(await bucket.watch(take, ready))
  }

  #take(entry: Entry): void {
    const { projection, clock, member } = this.#options
    const { key, value } = entry
    const now = clock.monotonic()
    const id = idIn(key, projection, 'member')
    if (id !== undefined) {
      if (id === member.id) {
        if (this.#deaf(now)) this.#since = now
        this.#ownAt = now
      } else {
        const news = value === undefined ? this.#seenAt.delete(id) : !this.#seenAt.has(id)
        if (value !== undefined) this.#seenAt.set(id, now)
        if (news) this.#wake()
      }
      return
    }
    if (key === wantedKey(projection)) {
      this.#holder.wanted(value === undefined ? NOTHING_WANTED : fromJson<Wanted>(value))
      return
    }
    const stream = Number(idIn(key, projection, 'lease') ?? Number.NaN)
    if (value === undefined || !(stream >= 0 && stream < this.#leases.length)) return
    this.#know(stream, { lease: fromJson<Lease>(value), revision: entry.revision })
  }

  #know(stream: number, known: Known): void {
    if ((this.#leases[stream]?.revision ?? 0) >= known.revision) return
    this.#leases[stream] = known
    if (this.#held.has(stream) && known.lease.holder !== this.#options.member.id) {
      this.#options.log.warn({ stream, by: known.lease.holder }, 'projection.lease_lost')
      void this.#lose(stream)
    }
    this.#wake()
  }

  #deaf(now: number): boolean {
    return now - this.#ownAt > this.#timing.windowMs / 2
  }

  /** Those that live, as far as can be told from here; this process is one. */
  #members(now: number): Set<string> {
    const { member, exclusive } = this.#options
    const alive = new Set([member.id])
    if (exclusive) return alive
    const judging = !this.#deaf(now) && now - this.#since >= this.#timing.windowMs
    for (const [id, at] of this.#seenAt) {
      if (!judging || now - at < this.#timing.windowMs) alive.add(id)
    }
    return alive
  }

  async #share(): Promise<void> {
    const { member, streams, clock, projection, log } = this.#options
    const members = this.#members(clock.monotonic())
    for (const id of this.#seenAt.keys()) {
      if (members.has(id)) continue
      this.#seenAt.delete(id)
      log.warn({ member: id }, 'projection.member_dead')
      await this.#options.members.remove(memberKey(projection, id))
    }
    const holders = this.#leases.map((known) => known?.lease.holder)
    const share = shareOf(member.id, members, holders, streams)
    for (let k = 0; k < streams && this.#staying.length < share; k++) {
      if (this.#life.signal.aborted) return
      const holder = holders[k]
      const free = holder === undefined || holder === member.id || !members.has(holder)
      if (free && !this.#held.has(k)) await this.#claim(k)
    }
    // Not waited for: its follower may have a write in work, and this process must go on showing that it lives.
    for (const stream of this.#staying.slice(share)) void this.#giveBack(stream)
  }

  get #staying(): number[] {
    return [...this.#held].filter((stream) => !this.#leaving.has(stream))
  }

  async #claim(stream: number): Promise<void> {
    const { cluster, projection, member, log } = this.#options
    const known = this.#leases[stream]
    const lease: Lease = { holder: member.id, epoch: (known?.lease.epoch ?? 0) + 1 }
    const key = leaseKey(projection, stream)
    const revision = await cluster.cas(key, toJson(lease), known?.revision ?? 0)
    // Somebody was quicker; the watch will tell who.
    if (revision === undefined) return
    this.#leases[stream] = { lease, revision }
    this.#held.add(stream)
    log.info({ stream, epoch: lease.epoch }, 'projection.lease_taken')
    this.#holder.take(stream, lease.epoch)
  }

  async #lose(stream: number): Promise<void> {
    await this.#holder.lose(stream)
    this.#held.delete(stream)
  }

  #giveBack(stream: number): Promise<void> {
    const under = this.#leaving.get(stream)
    if (under !== undefined) return under
    const work = this.#giveBackNow(stream).finally(() => {
      this.#leaving.delete(stream)
      this.#wake()
    })
    this.#leaving.set(stream, work)
    return work
  }

  /** Never rejects: a lease that stays is taken when this process is not there any more. */
  async #giveBackNow(stream: number): Promise<void> {
    const { cluster, projection, member, log } = this.#options
    await this.#lose(stream)
    const known = this.#leases[stream]
    if (known === undefined || known.lease.holder !== member.id) return
    const lease: Lease = { epoch: known.lease.epoch }
    try {
      const revision = await cluster.cas(
        leaseKey(projection, stream),
        toJson(lease),
        known.revision,
      )
      if (revision !== undefined) this.#leases[stream] = { lease, revision }
    } catch (err) {
      log.warn({ err, stream }, 'projection.lease_kept')
    }
  }
}

/** Reads what operators want, changes it. @throws ParleyError unavailable */
export const changeWanted = async (
  cluster: Bucket,
  projection: ProjectionName,
  change: (wanted: Wanted) => Wanted,
): Promise<Wanted> => {
  const key = wantedKey(projection)
  for (let tries = 0; tries < 16; tries++) {
    const entry = await cluster.get(key)
    const wanted = change(entry?.value === undefined ? NOTHING_WANTED : fromJson(entry.value))
    if ((await cluster.cas(key, toJson(wanted), entry?.revision ?? 0)) !== undefined) return wanted
  }
  throw new ParleyError('unavailable', { detail: `KV ${key} is changed by too many at once` })
}
