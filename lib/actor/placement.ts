/**
 * Which host owns which partition (contracts O1, O2, O5): this host's part in the agreement.
 *
 * Owns: which partitions this host has been told to take, and its timers; its place in the view is in membership.ts.
 * Never: touches the log. KV `owners` is a hint; the log is the truth, and a host that lost it says so (`lost`).
 *
 * I1. `claim` is called once for a partition until `handed`, `lost` or `failed` says that this host holds it no more.
 * I2. Nothing is claimed while draining, nor while the view is without this host.
 * I3. Failures of KV are tried again for as long as this host is in; none is thrown by a timer.
 */
import type { Nats, Unsubscribe } from '../bus/bus.ts'
import type { Owner } from '../bus/cluster.ts'
import type { Clock } from '../clock.ts'
import type { Incarnation } from '../ids.ts'
import type { Log } from '../log.ts'
import { BEAT_MS } from './heartbeat.ts'
import { SUSPICION_MS } from './lease.ts'
import type { Hosts } from './members.ts'
import { Membership } from './membership.ts'
import { type OnOwner, Owners } from './placement-owners.ts'
import { claimable, type Knowledge, successorOf, surplus, takers } from './placement-rules.ts'
import { winner } from './rendezvous.ts'

export type Claiming = {
  /** The view to write into the epoch record. */
  readonly view: number
  /**
   * False when the last owner that KV tells of is proven dead. KV may be old: before it does without a quiet start, the
   * host asks `provenDead` about the owner that the log tells of.
   */
  readonly quiet: boolean
}

export type PlacementOptions = {
  readonly nats: Nats
  readonly clock: Clock
  /** `host` names a place where only one process lives at a time: who joins under it is the newest. */
  readonly identity: { readonly incarnation: Incarnation; readonly host: string }
  readonly partitions: number
  /** A lock on the data directory proves that no other host can be alive. */
  readonly exclusive: boolean
  readonly log: Log
  /** 0 ≤ random() < 1 */
  readonly random?: () => number
  readonly on: {
    /** Take over the partition: fence its log, start it, then say `serving`. */
    claim(p: number, how: Claiming): void
    /** Drain one partition for another host, then say `handed`. Without it nothing is rebalanced. */
    resign?(p: number, successor: Incarnation): void
    /** A newer incarnation of this host runs: this one has stopped taking part. */
    superseded?(): void
  }
  readonly timing?: Partial<Timing>
}

/** Milliseconds. */
export type Timing = {
  readonly beat: number
  readonly suspicion: number
  /** O5: for how long a lost partition is left alone, at least; up to a fifth more. */
  readonly hold: number
  /** For how long a host holds too many before it gives one up. */
  readonly balance: number
  /** Everything is read again this often, in case a watch has gone silent. */
  readonly resync: number
}

export const TIMING: Timing = {
  beat: BEAT_MS,
  suspicion: SUSPICION_MS,
  hold: 5000,
  balance: 10_000,
  resync: 30_000,
}

export class Placement {
  readonly #options: PlacementOptions
  readonly #timing: Timing
  readonly #us: Incarnation
  readonly #random: () => number
  readonly #life = new AbortController()
  readonly #membership: Membership
  readonly #owners: Owners
  /** What this host was told to take and has not given up. */
  readonly #held = new Map<number, 'starting' | 'serving'>()
  /** Not to be claimed until then, and only under a view above that (contracts O5). */
  readonly #blocked = new Map<number, { readonly until: number; readonly above: number }>()
  /** Monotonic time when all of KV was known. */
  #readyAt = Number.POSITIVE_INFINITY
  #resyncAt = Number.POSITIVE_INFINITY
  #reviewing: NodeJS.Immediate | undefined
  #overSince: number | undefined
  #resigned: { readonly p: number; readonly until: number } | undefined
  readonly #ends: Unsubscribe[] = []

  constructor(options: PlacementOptions) {
    const { nats, clock, identity, partitions, exclusive, log, random = Math.random } = options
    this.#options = options
    this.#timing = { ...TIMING, ...options.timing }
    this.#us = identity.incarnation
    this.#random = random
    const life = this.#life.signal
    const pace = {
      random,
      failed: (err: unknown) => log.warn({ err }, 'placement.kv_failed'),
    }
    this.#membership = new Membership({
      nats,
      clock,
      identity,
      exclusive,
      suspicionMs: this.#timing.suspicion,
      log,
      pace,
      life,
      starting: () => [...this.#held].flatMap(([p, state]) => (state === 'starting' ? [p] : [])),
      changed: () => this.#soon(),
    })
    this.#owners = new Owners(nats, partitions, log, pace, life)
    this.#owners.listen((p, owner) => {
      // Who gives it to us wrote after whatever made us lose it.
      if (owner?.state === 'handed' && owner.successor === this.#us) this.#blocked.delete(p)
      this.#soon()
    })
  }

  /** Joins. Resolves when this host is in the view and knows all owners. @throws the signal's reason */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { nats, clock } = this.#options
    const giveUp = (): void => this.#close(signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      this.#ends.push(
        this.#membership.listen(),
        nats.onGap(() => this.#onGap()),
      )
      this.#every(this.#timing.beat, () => this.#membership.beat())
      this.#membership.beat()
      await this.#membership.join()
      await this.#owners.renew()
      this.#readyAt = clock.monotonic()
      this.#resyncAt = this.#readyAt + this.#timing.resync
      this.#every(this.#timing.beat / 2, () => this.#review())
      this.#soon()
    } catch (error) {
      this.#close(error)
      throw error
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  /** The placement view that this host goes by. */
  get view(): number {
    return this.#membership.view
  }

  get members(): Hosts {
    return this.#membership.hosts
  }

  /** Who owns a partition as KV tells; undefined before anybody did. */
  ownerOf(p: number): Owner | undefined {
    return this.#owners.of(p)
  }

  /** Calls back for every change of an owner from now on. */
  onOwner(callback: OnOwner): Unsubscribe {
    return this.#owners.listen(callback)
  }

  /** Who should take a partition that this host gives up; undefined when nobody is there. */
  successorOf(p: number): Incarnation | undefined {
    return successorOf(p, this.members, this.#us)
  }

  /**
   * Whether the owner whose epoch was `epoch` can't be alive any more, so that its successor need not be silent
   * (contracts L10). `epoch` is that of the record before the successor's own (for an epoch record, its own
   * sequence): asked about it, KV can't answer too well for being old.
   */
  provenDead(p: number, epoch: number): boolean {
    if (this.#options.exclusive) return true
    const owner = this.ownerOf(p)
    if (owner?.epoch !== epoch) return false
    return (
      owner.incarnation === this.#us || this.#membership.replaced(owner.incarnation, owner.host)
    )
  }

  /**
   * The start is complete. False when KV knows a later epoch: then the log has another owner, too.
   * @throws the signal's reason
   */
  async serving(p: number, epoch: number, signal = this.#life.signal): Promise<boolean> {
    const owner: Owner = { epoch, ...this.#options.identity, state: 'serving' }
    const ours = await this.#owners.write(p, owner, signal)
    if (ours && this.#held.has(p)) this.#held.set(p, 'serving')
    return ours
  }

  /**
   * The partition is drained and its `handover` record committed. False when KV knows a later epoch.
   * @throws the signal's reason
   */
  async handed(
    p: number,
    epoch: number,
    successor: Incarnation | undefined,
    signal = this.#life.signal,
  ): Promise<boolean> {
    const heir = successor === undefined ? {} : { successor }
    const owner: Owner = { epoch, ...this.#options.identity, state: 'handed', ...heir }
    try {
      return await this.#owners.write(p, owner, signal)
    } finally {
      this.#held.delete(p)
    }
  }

  /** Another host has written into the log of `p` under `fencingView`: it is left alone for a while (contracts O5). */
  lost(p: number, fencingView: number): void {
    this.#membership.seen(fencingView)
    this.#block(p, fencingView)
  }

  /** This host runs `p` no more, or could not start it, for a reason of its own: it tries again after a while. */
  failed(p: number): void {
    this.#block(p, -1)
  }

  #block(p: number, above: number): void {
    this.#held.delete(p)
    const { hold } = this.#timing
    const until = this.#options.clock.monotonic() + hold * (1 + this.#random() / 5)
    this.#blocked.set(p, { until, above })
  }

  /** From now on nothing is claimed here, and others know. Resolves when the view says so. @throws the signal's reason */
  async drain(signal: AbortSignal): Promise<void> {
    await this.#membership.drain(AbortSignal.any([signal, this.#life.signal]))
  }

  /** Leaves the view and stops; stops too when the view can't be changed before the signal aborts. */
  async leave(signal: AbortSignal): Promise<void> {
    try {
      await this.#membership.leave(AbortSignal.any([signal, this.#life.signal]))
    } catch (err) {
      this.#options.log.warn({ err }, 'placement.left_unannounced')
    } finally {
      this.#close(new Error('placement has stopped'))
    }
  }

  #close(reason: unknown): void {
    this.#life.abort(reason)
    clearImmediate(this.#reviewing)
    for (const end of this.#ends.splice(0)) end()
  }

  #every(ms: number, run: () => void): void {
    const timer = setInterval(run, ms)
    this.#ends.push(() => clearInterval(timer))
  }

  #onGap(): void {
    this.#membership.gap()
    this.#renew()
  }

  #renew(): void {
    this.#resyncAt = this.#options.clock.monotonic() + this.#timing.resync
    // They try until the end of this host's life, which is all that they fail with.
    this.#membership.renew().catch(() => undefined)
    this.#owners.renew().catch(() => undefined)
  }

  #soon(): void {
    if (!this.#life.signal.aborted) this.#reviewing ??= setImmediate(() => this.#review())
  }

  #review(): void {
    clearImmediate(this.#reviewing)
    this.#reviewing = undefined
    const now = this.#options.clock.monotonic()
    if (this.#life.signal.aborted || now < this.#readyAt) return
    if (this.#membership.superseded) {
      this.#options.log.error({ ...this.#options.identity }, 'placement.superseded')
      this.#close(new Error('a newer incarnation of this host runs'))
      this.#tell(() => this.#options.on.superseded?.())
      return
    }
    if (now >= this.#resyncAt) this.#renew()
    this.#membership.judge()
    if (this.#membership.draining) return
    this.#claim(now)
    this.#balance(now)
  }

  #claim(now: number): void {
    if (this.#membership.member(this.#us) === undefined) return
    const know = this.#knowledge(now)
    const able = takers(this.members)
    let any = false
    for (let p = 0; p < this.#options.partitions; p++) {
      if (this.#held.has(p) || this.#isBlocked(p, now)) continue
      const claim = claimable(p, this.ownerOf(p), know)
      if (claim === undefined) continue
      if ((claim.by ?? winner(p, able)?.incarnation) !== this.#us) continue
      this.#held.set(p, 'starting')
      any = true
      const { view } = this
      this.#options.log.info({ p, view, proven: claim.proven }, 'placement.claimed')
      this.#tell(() => this.#options.on.claim(p, { view, quiet: !claim.proven }))
    }
    // Who joins now must know what is taken already.
    if (any) this.#membership.beat()
  }

  #knowledge(now: number): Knowledge {
    const membership = this.#membership
    const started = membership.started()
    return {
      us: this.#us,
      exclusive: this.#options.exclusive,
      member: (incarnation) => membership.member(incarnation),
      silent: (incarnation) => membership.silent(incarnation),
      replaced: (incarnation, host) => membership.replaced(incarnation, host),
      settled: membership.judging && now - this.#readyAt >= this.#timing.suspicion,
      startedBy: (p) => started.get(p),
    }
  }

  #isBlocked(p: number, now: number): boolean {
    const block = this.#blocked.get(p)
    if (block === undefined) return false
    if (now < block.until || this.view <= block.above) return true
    this.#blocked.delete(p)
    return false
  }

  #balance(now: number): void {
    const { resign } = this.#options.on
    if (resign === undefined) return
    const moving = this.#resigned
    if (moving !== undefined) {
      if (this.ownerOf(moving.p)?.incarnation === this.#us && now < moving.until) return
      this.#resigned = undefined
    }
    const move = surplus(this.#owners.all, this.members, this.#us)
    if (move === undefined) {
      this.#overSince = undefined
      return
    }
    this.#overSince ??= now
    if (now - this.#overSince < this.#timing.balance) return
    if (this.#held.get(move.p) !== 'serving') return
    this.#resigned = { p: move.p, until: now + 3 * this.#timing.balance }
    this.#tell(() => resign(move.p, move.successor))
  }

  /** What the host makes of a call must not end our timers. */
  #tell(call: () => void): void {
    try {
      call()
    } catch (err) {
      this.#options.log.error({ err }, 'placement.host_failed')
    }
  }
}
