/**
 * Heartbeats of hosts, and who is silent by what this host hears itself (contracts O1). Time is the local monotonic
 * clock alone: nobody's word counts on when somebody else was heard.
 */
import { fromJson, toJson } from '../bus/cluster.ts'
import type { Clock } from '../clock.ts'
import { type Incarnation, isId } from '../ids.ts'
import { SUSPICION_MS } from './lease.ts'

/** What a host says twice a second on subject `beat`. */
export type Beat = {
  readonly incarnation: Incarnation
  readonly host: string
  /** The placement view that it goes by. */
  readonly view: number
  readonly draining: boolean
  /** Partitions that it has taken and does not serve yet. */
  readonly starting: readonly number[]
}

export const BEAT_MS = 500

export const encodeBeat = (beat: Beat): Uint8Array => toJson(beat)

/** Undefined when it is not a heartbeat. */
export const decodeBeat = (bytes: Uint8Array): Beat | undefined => {
  try {
    const beat = fromJson<Partial<Beat> | null>(bytes)
    if (!isId(beat?.incarnation) || typeof beat.host !== 'string') return undefined
    const { incarnation, host, view = 0, draining = false, starting } = beat
    return { incarnation, host, view, draining, starting: Array.isArray(starting) ? starting : [] }
  } catch {
    return undefined
  }
}

export class Hearing {
  readonly #clock: Clock
  readonly #us: Incarnation
  readonly #windowMs: number
  readonly #heardAt = new Map<Incarnation, number>()
  #ownAt = Number.NEGATIVE_INFINITY
  /** Silence before this moment proves nothing. */
  #since = Number.POSITIVE_INFINITY

  constructor(clock: Clock, us: Incarnation, windowMs = SUSPICION_MS) {
    this.#clock = clock
    this.#us = us
    this.#windowMs = windowMs
  }

  heard(incarnation: Incarnation): void {
    const now = this.#clock.monotonic()
    if (incarnation === this.#us) {
      if (this.#deaf(now)) this.#since = now
      this.#ownAt = now
    } else this.#heardAt.set(incarnation, now)
  }

  /** There is such a host: its silence is counted from now on, unless it was heard before. */
  expect(incarnation: Incarnation): void {
    if (!this.#heardAt.has(incarnation)) this.#heardAt.set(incarnation, this.#clock.monotonic())
  }

  /** It is (again) a member: what it did not say before is no silence. */
  welcome(incarnation: Incarnation): void {
    this.#heardAt.set(incarnation, this.#clock.monotonic())
  }

  /** The connection came back, or messages were dropped: a full window before anybody is judged again. */
  gap(): void {
    this.#since = this.#clock.monotonic()
  }

  /** Without our own heartbeat, what we do not hear says something about us. */
  #deaf(now: number): boolean {
    return now - this.#ownAt > this.#windowMs / 2
  }

  /** True when this host has heard well for one full window. */
  get judging(): boolean {
    const now = this.#clock.monotonic()
    return !this.#deaf(now) && now - this.#since >= this.#windowMs
  }

  /** True when it was not heard for one full window in which this host heard well. */
  silent(incarnation: Incarnation): boolean {
    if (incarnation === this.#us) return false
    this.expect(incarnation)
    return this.judging && !this.recent(incarnation)
  }

  /** True when it was heard (or became known) within the window. */
  recent(incarnation: Incarnation): boolean {
    return this.#clock.monotonic() - this.heardAt(incarnation) < this.#windowMs
  }

  /** Monotonic ms; −∞ when it never was. */
  heardAt(incarnation: Incarnation): number {
    return this.#heardAt.get(incarnation) ?? Number.NEGATIVE_INFINITY
  }

  /** Forgets all that are neither in `known` nor heard within ten windows. */
  forget(known: ReadonlySet<Incarnation>): void {
    const old = this.#clock.monotonic() - 10 * this.#windowMs
    for (const [incarnation, at] of this.#heardAt) {
      if (at < old && !known.has(incarnation)) this.#heardAt.delete(incarnation)
    }
  }
}
