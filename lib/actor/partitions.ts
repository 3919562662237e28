/**
 * The partitions of a host, from claim to loss: started a few at a time, served, given up in good order or dropped at
 * once. What is in each is owned.ts; who is to own it is placement.ts.
 */
import type { Clock } from '../clock.ts'
import type { Incarnation } from '../ids.ts'
import type { Log } from '../log.ts'
import { handOver } from './handover.ts'
import type { Owned } from './owned.ts'
import type { Claiming, Placement } from './placement.ts'

/** A partition that can not be drained in this time, because a store is out of reach, is kept. */
const RESIGN_MS = 10_000
/** Partitions that are started side by side. */
const STARTS = 16

export type PartitionsContext<Room, User> = {
  readonly clock: Clock
  readonly log: Log
  readonly placement: () => Pick<Placement, 'serving' | 'lost' | 'failed' | 'handed'>
  /** From a claim to a partition that is ready to serve; the view of the other side when it yields (contracts O5). */
  open(
    p: number,
    view: number,
    life: AbortController,
  ): Promise<Owned<Room, User> | { readonly yieldTo: number }>
  /** Nothing of `p` may leave this host from now on; what was to leave before does. */
  stopped(p: number): void
}

export class Partitions<Room, User> {
  readonly #context: PartitionsContext<Room, User>
  readonly #owned = new Map<number, Owned<Room, User>>()
  readonly #starting = new Map<number, AbortController>()
  readonly #claims: [number, Claiming][] = []

  constructor(context: PartitionsContext<Room, User>) {
    this.#context = context
  }

  /** Undefined while this host does not serve it. */
  of(p: number): Owned<Room, User> | undefined {
    return this.#owned.get(p)
  }

  all(): IterableIterator<Owned<Room, User>> {
    return this.#owned.values()
  }

  get serving(): number[] {
    return [...this.#owned.keys()]
  }

  claim(p: number, how: Claiming): void {
    this.#claims.push([p, how])
    this.#startNext()
  }

  #startNext(): void {
    while (this.#starting.size < STARTS && this.#claims.length > 0) {
      const [p, how] = this.#claims.shift()!
      const life = new AbortController()
      this.#starting.set(p, life)
      void this.#take(p, how, life)
        .catch((err: unknown) => {
          if (!life.signal.aborted) this.#context.log.error({ p, err }, 'partition.start_failed')
          life.abort(err)
          this.stop(p)
          this.#context.placement().failed(p)
        })
        .finally(() => {
          this.#starting.delete(p)
          this.#startNext()
        })
    }
  }

  async #take(p: number, how: Claiming, life: AbortController): Promise<void> {
    const placement = this.#context.placement()
    const owned = await this.#context.open(p, how.view, life)
    if ('yieldTo' in owned) {
      placement.lost(p, owned.yieldTo)
      return
    }
    this.#owned.set(p, owned)
    if (await placement.serving(p, owned.partition.epoch, life.signal)) {
      void owned.partition.loadAll(life.signal)
    } else {
      this.stop(p)
      placement.lost(p, how.view)
    }
  }

  /** Contracts L9: forgets everything of a partition; whoever waits is told that it has moved. */
  stop(p: number): void {
    const owned = this.#owned.get(p)
    if (owned === undefined) return
    this.#owned.delete(p)
    owned.life.abort(new Error('the partition is not ours any more'))
    owned.unsubscribe()
    owned.partition.stop()
    owned.fold.stop()
    owned.sessions.stop()
    this.#context.stopped(p)
  }

  stopAll(): void {
    this.#claims.length = 0
    for (const life of this.#starting.values()) life.abort(new Error('the host has stopped'))
    for (const p of this.serving) this.stop(p)
  }

  /** No more is started. */
  close(): void {
    this.#claims.length = 0
    for (const [p, life] of this.#starting) {
      if (!this.#owned.has(p)) life.abort(new Error('the host drains'))
    }
  }

  /** Gives a partition up, or keeps it when it can not be drained in time. */
  async resign(
    p: number,
    successor: Incarnation | undefined,
    deadline = this.#context.clock.monotonic() + RESIGN_MS,
  ): Promise<void> {
    const owned = this.#owned.get(p)
    if (owned === undefined) return
    const { clock, log } = this.#context
    const placement = this.#context.placement()
    try {
      const outcome = await handOver(owned, successor, clock, deadline)
      if (outcome === 'kept' || this.#owned.get(p) !== owned) return
      const left = Math.max(1, Math.ceil(deadline - clock.monotonic()))
      const { epoch } = owned.partition
      if (outcome === 'undecided') placement.failed(p)
      else await placement.handed(p, epoch, successor, AbortSignal.timeout(left))
    } catch (err) {
      log.error({ p, err }, 'partition.resign_failed')
    }
    if (this.#owned.get(p) === owned) this.stop(p)
  }
}
