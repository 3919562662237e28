/**
 * Brings commands to the owners of their partitions and keeps them until they are answered (contracts O3, O4).
 *
 * I1. The outstanding commands of a partition are sent in the order in which they came, also when sent again.
 * I2. A partition that answered `moved`, fell silent or changed its owner is held: nothing is sent to it until all
 *     that is outstanding is sent again, each with a higher attempt.
 * I3. `final` settles a command whatever its attempt; `later` only when it answers the last one and nothing is held.
 * I4. Every command ends: answered, dropped with its session, or given up as `unavailable`.
 */
import type { Owner } from '../bus/cluster.ts'
import type { Refusal } from '../errors.ts'
import { refuse } from '../errors.ts'
import type { Incarnation } from '../ids.ts'
import type { GatewayConfig } from './config.ts'
import type { Envelope, Outgoing } from './outgoing.ts'
import { NONE, Pending, TARGET } from './pending.ts'
import type { Session } from './session.ts'

type Partition = {
  epoch: number
  owner: string | undefined
  envelope: Envelope | undefined
  held: boolean
  /** When a held partition with an owner is tried again, monotonic ms; and the wait before the try after that. */
  retryAt: number
  backoff: number
  /** How long a reply may take before everything is sent again. */
  patience: number
}

export type RouterStats = { resends: number; gaveUp: number; moved: number; timeouts: number }

const BACKOFF_MIN = 50
const BACKOFF_MAX = 1000
const PATIENCE_MAX = 8000

export class Router {
  readonly pending: Pending
  readonly stats: RouterStats = { resends: 0, gaveUp: 0, moved: 0, timeouts: 0 }
  readonly #partitions: Partition[] = []
  readonly #config: GatewayConfig
  readonly #outgoing: Outgoing
  readonly #giveUp: (session: Session, purpose: number, req: number, refusal: Refusal) => void

  constructor(
    config: GatewayConfig,
    outgoing: Outgoing,
    giveUp: (session: Session, purpose: number, req: number, refusal: Refusal) => void,
  ) {
    this.#config = config
    this.#outgoing = outgoing
    this.#giveUp = giveUp
    this.pending = new Pending(config.partitions)
    for (let p = 0; p < config.partitions; p++) {
      this.#partitions.push({
        epoch: 0,
        owner: undefined,
        envelope: undefined,
        held: true,
        retryAt: Number.POSITIVE_INFINITY,
        backoff: BACKOFF_MIN,
        patience: config.resendMs,
      })
    }
  }

  /** Where commands of a partition go now; undefined while nobody serves it. */
  envelopeOf(p: number): Envelope | undefined {
    return this.#partitions[p]!.envelope
  }

  /** The hosts that serve something. */
  hosts(): Set<Incarnation> {
    const hosts = new Set<Incarnation>()
    for (const { envelope } of this.#partitions)
      if (envelope !== undefined) hosts.add(envelope.host)
    return hosts
  }

  /** Takes a command; a refusal when there is no room for it. `frame` is copied. */
  submit(
    session: Session,
    p: number,
    target: number,
    purpose: number,
    req: number,
    frame: Uint8Array,
    now: number,
  ): Refusal | undefined {
    const { pending } = this
    if (session.inFlight >= this.#config.sessionCommands) return OVERLOADED
    if (pending.bytes + frame.length > this.#config.commandBytes) return OVERLOADED
    if (pending.countOf(p) >= this.#config.partitionCommands) return UNAVAILABLE
    const slot = pending.add(session, p, target, purpose, req, frame, now)
    if (slot === NONE) return OVERLOADED
    const partition = this.#partitions[p]!
    if (!partition.held) this.#send(partition.envelope!, slot, session, frame, now)
    return undefined
  }

  #send(envelope: Envelope, slot: number, session: Session, frame: Uint8Array, now: number): void {
    const { pending } = this
    const attempt = pending.attempt[slot]! + 1
    pending.attempt[slot] = attempt
    pending.sent[slot] = now
    const kind = pending.target[slot] === TARGET.room ? 'room' : 'user'
    envelope.command(kind, pending.token[slot]!, attempt, session, frame)
  }

  /** Takes the slot of an answered command out of the books. */
  settle(slot: number): void {
    const partition = this.#partitions[this.pending.partition[slot]!]!
    partition.backoff = BACKOFF_MIN
    partition.patience = this.#config.resendMs
    this.pending.remove(slot)
  }

  /** True when `later` for this attempt is the answer (I3). */
  isCurrent(slot: number, attempt: number): boolean {
    const { pending } = this
    return attempt >= pending.attempt[slot]! && !this.#partitions[pending.partition[slot]!]!.held
  }

  moved(slot: number, attempt: number, now: number): void {
    const { pending } = this
    if (attempt < pending.attempt[slot]!) return
    const partition = this.#partitions[pending.partition[slot]!]!
    if (partition.held) return
    this.stats.moved++
    this.#hold(partition, now)
  }

  #hold(partition: Partition, now: number): void {
    partition.held = true
    partition.retryAt = now + partition.backoff
    partition.backoff = Math.min(partition.backoff * 2, BACKOFF_MAX)
  }

  /** What KV `owners` says of `p`; true when the owner is another one than before. */
  owner(p: number, owner: Owner | undefined, now: number): boolean {
    const partition = this.#partitions[p]
    if (partition === undefined) return false
    if (owner === undefined || owner.epoch < partition.epoch) return false
    const same = owner.epoch === partition.epoch && owner.incarnation === partition.owner
    partition.epoch = owner.epoch
    partition.owner = owner.incarnation
    if (owner.state !== 'serving') {
      partition.envelope = undefined
      partition.held = true
      partition.retryAt = Number.POSITIVE_INFINITY
      return false
    }
    if (same && partition.envelope !== undefined) return false
    partition.envelope = this.#outgoing.to(owner.incarnation)
    partition.backoff = BACKOFF_MIN
    this.#resend(p, now)
    return true
  }

  /** Sends everything outstanding of every partition again: the bus may have lost any of it. */
  gap(now: number): void {
    for (let p = 0; p < this.#partitions.length; p++) {
      if (this.#partitions[p]!.envelope !== undefined) this.#resend(p, now)
    }
  }

  #resend(p: number, now: number): void {
    const { pending } = this
    const partition = this.#partitions[p]!
    const envelope = partition.envelope!
    partition.held = false
    let slot = pending.head(p)
    while (slot !== NONE) {
      const next = pending.next[slot]!
      const session = pending.session[slot]!
      if (session.state === 'closed') pending.remove(slot)
      else {
        if (pending.attempt[slot]! > 0) this.stats.resends++
        this.#send(envelope, slot, session, pending.frame(slot), now)
      }
      slot = next
    }
  }

  /** To be called about every 100 ms. */
  tick(now: number): void {
    const { pending } = this
    for (let p = 0; p < this.#partitions.length; p++) {
      const slot = pending.head(p)
      const partition = this.#partitions[p]!
      if (slot === NONE) {
        if (partition.held && partition.envelope !== undefined) partition.held = false
        continue
      }
      this.#expire(p, now)
      if (partition.envelope === undefined) continue
      if (partition.held) {
        if (now >= partition.retryAt) this.#resend(p, now)
      } else {
        const head = pending.head(p)
        if (head !== NONE && now - pending.sent[head]! > partition.patience) {
          this.stats.timeouts++
          partition.patience = Math.min(partition.patience * 2, PATIENCE_MAX)
          this.#resend(p, now)
        }
      }
    }
  }

  /** Gives up what has waited too long; the list is in the order of coming. */
  #expire(p: number, now: number): void {
    const { pending } = this
    const { giveUpMs, holdMs } = this.#config
    let slot = pending.head(p)
    while (slot !== NONE && now - pending.came[slot]! > holdMs) {
      const next = pending.next[slot]!
      const limit = pending.attempt[slot] === 0 ? holdMs : giveUpMs
      if (now - pending.came[slot]! > limit) {
        const session = pending.session[slot]!
        const purpose = pending.purpose[slot]!
        const req = pending.req[slot]!
        pending.remove(slot)
        this.stats.gaveUp++
        if (session.state !== 'closed') this.#giveUp(session, purpose, req, UNAVAILABLE)
      }
      slot = next
    }
  }
}

const OVERLOADED = refuse('overloaded', undefined, 1000)
const UNAVAILABLE = refuse('unavailable', undefined, 1000)
