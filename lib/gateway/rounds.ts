/**
 * What happens to sessions by time, from one timer: no timer of their own. A session's slot decides when in a round
 * of `beatMs` it is looked at, so that the beats of all are spread over it (contracts R3).
 */
import type { GatewayConfig } from './config.ts'
import type { Hub } from './hub.ts'
import type { Envelope } from './outgoing.ts'
import type { Session } from './session.ts'

export const TICK_MS = 100
/** Announcements after an owner change or a gap are spread over this time. */
const ANNOUNCE_MS = 1000

export type RoundsDeps = {
  readonly config: GatewayConfig
  readonly hub: Hub
  readonly envelopeOf: (p: number) => Envelope | undefined
  /** 0 ≤ r < 1. */
  readonly random: () => number
  readonly onLate: (session: Session) => void
  readonly onSilent: (session: Session) => void
}

export class Rounds {
  readonly #deps: RoundsDeps
  readonly #steps: number
  /** When the sessions of a partition's users are announced, monotonic ms. */
  readonly #announceAt: Float64Array
  #announcing = false
  #step = 0
  /** Sessions without a hello, oldest first, from `#next` on. */
  #waiting: Session[] = []
  #next = 0

  constructor(deps: RoundsDeps) {
    this.#deps = deps
    this.#steps = Math.max(1, Math.round(deps.config.beatMs / TICK_MS))
    this.#announceAt = new Float64Array(deps.config.partitions).fill(Number.POSITIVE_INFINITY)
  }

  opened(session: Session): void {
    this.#waiting.push(session)
  }

  /** The sessions of users in `p` tell its owner of themselves again soon (contracts R2). */
  announce(p: number, now: number): void {
    this.#announceAt[p] = now + this.#deps.random() * ANNOUNCE_MS
    this.#announcing = true
  }

  announceAll(now: number): void {
    for (let p = 0; p < this.#announceAt.length; p++) this.announce(p, now)
  }

  tick(now: number): void {
    this.#late(now)
    const { hub } = this.#deps
    for (let slot = this.#step; slot < hub.slots; slot += this.#steps) {
      const session = hub.at(slot)
      if (session !== undefined) this.#look(session, now)
    }
    this.#step = (this.#step + 1) % this.#steps
    if (this.#announcing) this.#announce(now)
  }

  #late(now: number): void {
    const waiting = this.#waiting
    const { config, onLate } = this.#deps
    while (this.#next < waiting.length) {
      const session = waiting[this.#next]!
      if (now - session.opened < config.helloMs) break
      this.#next++
      onLate(session)
    }
    if (this.#next > waiting.length / 2) {
      this.#waiting = waiting.slice(this.#next)
      this.#next = 0
    }
  }

  #look(session: Session, now: number): void {
    const { config, onSilent } = this.#deps
    if (now - session.heard > 2 * config.heartbeatMs) onSilent(session)
    else this.beat(session)
  }

  beat(session: Session): void {
    if (session.state !== 'open') return
    this.#deps.envelopeOf(session.partition)?.beat(session, session.generation, session.position)
  }

  #announce(now: number): void {
    const { hub } = this.#deps
    const at = this.#announceAt
    let left = false
    let due = false
    for (const time of at) {
      if (time <= now) due = true
      else if (time !== Number.POSITIVE_INFINITY) left = true
    }
    this.#announcing = left
    if (!due) return
    for (let slot = 0; slot < hub.slots; slot++) {
      const session = hub.at(slot)
      if (session !== undefined && at[session.partition]! <= now) this.beat(session)
    }
    for (let p = 0; p < at.length; p++) if (at[p]! <= now) at[p] = Number.POSITIVE_INFINITY
  }
}
