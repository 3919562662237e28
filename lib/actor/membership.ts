/**
 * This host's place in the view, and what it hears of the others (contracts O1, O2).
 *
 * Owns: its entry in KV `cluster/members`, its heartbeat, and who it suspects.
 * I1. The view that is known here only rises.
 * I2. A host that another incarnation has replaced never joins again.
 */
import type { Bucket, Entry, Nats, Unsubscribe } from '../bus/bus.ts'
import type { Members } from '../bus/cluster.ts'
import type { Clock } from '../clock.ts'
import type { Incarnation } from '../ids.ts'
import type { Log } from '../log.ts'
import { BEAT } from '../subjects.ts'
import { type Beat, decodeBeat, encodeBeat, Hearing } from './heartbeat.ts'
import {
  type Host,
  type Hosts,
  joining,
  MEMBERS_KEY,
  NOBODY,
  readMembers,
  removing,
} from './members.ts'
import { changeMembers, Following, type Pace } from './placement-kv.ts'

export type MembershipOptions = {
  readonly nats: Nats
  readonly clock: Clock
  readonly identity: { readonly incarnation: Incarnation; readonly host: string }
  readonly exclusive: boolean
  readonly suspicionMs: number
  readonly log: Log
  readonly pace: Pace
  /** Everything ends with it. */
  readonly life: AbortSignal
  /** What the heartbeat says of us. */
  starting(): number[]
  /** The view has changed. */
  changed(): void
}

export class Membership {
  readonly #options: MembershipOptions
  readonly #us: Incarnation
  readonly #hearing: Hearing
  readonly #following: Following
  readonly #beats = new Map<Incarnation, Beat>()
  /** When this host learnt of each member, monotonic. */
  #learnt = new Map<Incarnation, number>()
  #members: Members = NOBODY
  /** The highest view seen in the log: KV restored from a backup may have fallen behind it. */
  #floor = 0
  #phase: 'new' | 'in' | 'draining' | 'leaving' = 'new'
  #amending = false
  #refreshing = false

  constructor(options: MembershipOptions) {
    this.#options = options
    this.#us = options.identity.incarnation
    this.#hearing = new Hearing(options.clock, this.#us, options.suspicionMs)
    const onEntry = (entry: Entry): void => {
      if (entry.key === MEMBERS_KEY) this.#onEntry(entry)
    }
    this.#following = new Following(this.#bucket, onEntry, options.pace, options.life)
  }

  readonly #bucket = (): Promise<Bucket> => this.#options.nats.bucket('cluster')

  get view(): number {
    return this.#members.view
  }

  get hosts(): Hosts {
    return this.#members.hosts
  }

  get draining(): boolean {
    return this.#phase === 'draining' || this.#phase === 'leaving'
  }

  /** True when this host has heard well for a full window. */
  get judging(): boolean {
    return this.#hearing.judging
  }

  member(incarnation: Incarnation): Host | undefined {
    return this.#members.hosts.find((host) => host.incarnation === incarnation)
  }

  silent(incarnation: Incarnation): boolean {
    return this.#hearing.silent(incarnation)
  }

  /**
   * Whether a newer incarnation of the same host runs. Who was heard after that one appeared is not dead, whatever the
   * names say.
   */
  replaced(incarnation: Incarnation, host: string): boolean {
    const newer = this.#members.hosts.find((its) => its.host === host)
    if (newer === undefined || newer.incarnation === incarnation) return false
    const learnt = this.#learnt.get(newer.incarnation) ?? Number.NEGATIVE_INFINITY
    return this.#hearing.heardAt(incarnation) <= learnt
  }

  /** What other hosts of the view said last that they are starting: p → host. */
  started(): Map<number, Incarnation> {
    const started = new Map<number, Incarnation>()
    for (const { incarnation, starting } of this.#beats.values()) {
      if (this.member(incarnation) === undefined) continue
      for (const p of starting) started.set(p, incarnation)
    }
    return started
  }

  /** Listens; the answer stops it. */
  listen(): Unsubscribe {
    return this.#options.nats.subscribe(BEAT, ({ data }) => this.#onBeat(data))
  }

  /** Enters the view, and follows it from then on. @throws the reason of `life` */
  async join(): Promise<void> {
    await this.#amend(this.#options.life)
    this.#phase = 'in'
    await this.#following.renew()
  }

  /** Resolves when the view says that we drain. @throws the signal's reason */
  async drain(signal: AbortSignal): Promise<void> {
    this.#phase = 'draining'
    this.beat()
    await this.#amend(signal)
  }

  /** Resolves when the view is without us. @throws the signal's reason */
  async leave(signal: AbortSignal): Promise<void> {
    const joined = this.#phase !== 'new'
    this.#phase = 'leaving'
    if (joined) await this.#amend(signal)
  }

  /** The connection may have missed something. */
  gap(): void {
    this.#hearing.gap()
  }

  /** Reads the members again and goes on from there. @throws the reason of `life` */
  renew(): Promise<void> {
    return this.#following.renew()
  }

  /** Another host has written into a log under this view. */
  seen(view: number): void {
    this.#floor = Math.max(this.#floor, view)
  }

  beat(): void {
    if (this.#options.life.aborted) return
    const { identity, nats, starting } = this.#options
    const { view, draining } = this
    nats.publish(BEAT, encodeBeat({ ...identity, view, draining, starting: starting() }))
  }

  /** A newer incarnation of this host has taken our place. */
  get superseded(): boolean {
    return this.#supersededIn(this.#members.hosts)
  }

  #supersededIn(hosts: Hosts): boolean {
    const { host } = this.#options.identity
    const joined = this.#phase !== 'new'
    return joined && hosts.some((its) => its.host === host && its.incarnation !== this.#us)
  }

  /** Looks after the view: we are in it as we are, and those are not that are silent. */
  judge(): void {
    const self = this.member(this.#us)
    const right =
      self?.draining === this.draining &&
      this.view >= this.#floor &&
      this.#silent(this.hosts).length === 0
    if (!right && !this.#amending) {
      this.#amending = true
      this.#amend(this.#options.life)
        // Only the end of `life` ends it.
        .catch(() => undefined)
        .finally(() => {
          this.#amending = false
        })
    }
    this.#hearing.forget(new Set(this.hosts.map(({ incarnation }) => incarnation)))
    for (const incarnation of this.#beats.keys()) {
      const gone = this.member(incarnation) === undefined
      if (gone && !this.#hearing.recent(incarnation)) this.#beats.delete(incarnation)
    }
  }

  #silent(hosts: Hosts): Hosts {
    return hosts.filter(({ incarnation }) => this.#hearing.silent(incarnation))
  }

  async #amend(signal: AbortSignal): Promise<void> {
    const { identity, exclusive, log, pace } = this.#options
    const step = (hosts: Hosts): Hosts | undefined => {
      if (this.#supersededIn(hosts)) return undefined
      if (this.#phase === 'leaving') return removing(new Set([this.#us]))(hosts)
      const dead = this.#silent(hosts)
      for (const { incarnation, host } of dead) {
        log.warn({ incarnation, host }, 'placement.suspected')
      }
      const alive = removing(new Set(dead.map(({ incarnation }) => incarnation)))(hosts)
      const self = { ...identity, draining: this.draining }
      return joining(self, exclusive)(alive ?? hosts) ?? alive
    }
    this.#take(await changeMembers(this.#bucket, step, this.#floor, pace, signal))
  }

  #onBeat(data: Uint8Array): void {
    const beat = decodeBeat(data)
    if (beat === undefined) return
    this.#hearing.heard(beat.incarnation)
    if (beat.incarnation === this.#us) return
    this.#beats.set(beat.incarnation, beat)
    if (beat.view > this.view && !this.#refreshing) void this.#refresh()
  }

  /** Somebody knows a newer view; a failure to read it leaves it to the watch. */
  async #refresh(): Promise<void> {
    this.#refreshing = true
    try {
      const entry = await (await this.#bucket()).get(MEMBERS_KEY)
      if (entry !== undefined) this.#onEntry(entry)
    } catch (cause) {
      this.#options.pace.failed(cause)
    } finally {
      this.#refreshing = false
    }
  }

  #onEntry(entry: Entry): void {
    try {
      this.#take(readMembers(entry))
    } catch (err) {
      this.#options.log.error({ err, key: entry.key }, 'placement.unreadable')
    }
  }

  #take(members: Members): void {
    const { log, clock, changed, life } = this.#options
    if (members.view <= this.view || life.aborted) return
    const learnt = new Map<Incarnation, number>()
    for (const { incarnation } of members.hosts) {
      const since = this.#learnt.get(incarnation)
      if (since === undefined) this.#hearing.welcome(incarnation)
      learnt.set(incarnation, since ?? clock.monotonic())
    }
    this.#learnt = learnt
    this.#members = members
    log.info({ view: members.view, hosts: members.hosts.length }, 'placement.view_changed')
    changed()
  }
}
