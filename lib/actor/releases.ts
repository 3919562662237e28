/**
 * What leaves a partition, and when: with the batch that it was derived from (contracts L3); what is only read, under
 * the lease or with a batch that was frozen after it came (contracts L10).
 *
 * I1. Of a batch that is not committed nothing leaves.
 * I2. After `stop` nothing leaves but `moved`, once for each command that waits (contracts L9).
 */
import { ParleyError, refuse } from '../errors.ts'
import { errorFrame, sendAnswer, sendRefusal } from './answers.ts'
import type { PendingBatch, Release, Reply } from './batch.ts'
import type { PartitionContext } from './context.ts'
import { Lease } from './lease.ts'
import { type PageRange, pageFrame, readPage } from './pages.ts'

/** A read that has waited this long is refused for now. */
const PATIENCE_MS = 2000

export class Releases<State> {
  readonly #context: PartitionContext<State>
  readonly #p: number
  readonly #lease = new Lease()
  /** Makes the reply wait in a batch that is still to be frozen. */
  readonly #prove: (reply: Reply<State>) => void
  /** Reads that wait, the oldest first; some may have left. */
  #reads: Reply<State>[] = []
  #stopped = false
  /** Releases that wait for a batch. */
  waiting = 0

  constructor(context: PartitionContext<State>, p: number, prove: (reply: Reply<State>) => void) {
    this.#context = context
    this.#p = p
    this.#prove = prove
  }

  /** Waits for the batch, which is pending or undecided. */
  wait(batch: PendingBatch<State>, release: Release<State>): void {
    batch.releases.push(release)
    this.waiting++
    if (release.kind === 'event' || release.kind === 'mark') return
    if (!release.read || release.since !== 0) return
    release.since = this.#context.clock.monotonic()
    this.#reads.push(release)
  }

  /** Derived from committed records alone: leaves under the lease, else when a batch proves that this is the owner. */
  leave(reply: Reply<State>): void {
    if (this.#lease.valid(this.#context.clock.monotonic())) this.#send(reply)
    else if (!reply.gone) this.#prove(reply)
  }

  /** The batch, first sent at `sentAt`, stands at `position`. */
  committed(batch: PendingBatch<State>, position: number, sentAt: number): void {
    this.#lease.renew(sentAt)
    const { releases, proves } = batch
    this.waiting -= releases.length
    for (let i = 0; i < releases.length; i++) {
      const release = releases[i]!
      if (release.kind === 'event' || release.kind === 'mark') {
        if (release.kind === 'event') release.entry.position = position
        this.#context.routes.deliver(release.frame, release.users, release.from)
      } else if (i < proves) this.#send(release)
      else this.leave(release)
    }
  }

  /** Every 100 ms or so. */
  pulse(): void {
    const reads = this.#reads
    const late = this.#context.clock.monotonic() - PATIENCE_MS
    let done = 0
    for (; done < reads.length; done++) {
      const read = reads[done]!
      if (read.gone) continue
      if (read.since > late) break
      read.gone = true
      sendRefusal(read.origin, read.req, refuse('unavailable', undefined, 200))
    }
    if (done > 0) reads.splice(0, done)
  }

  #send(reply: Reply<State>): void {
    if (reply.gone) return
    reply.gone = true
    if (reply.kind === 'run') reply.run()
    else if (reply.answer.kind === 'range') void this.#sendPage(reply, reply.answer)
    else if (reply.answer.kind !== 'permit') sendAnswer(reply.origin, reply.req, reply.answer)
  }

  async #sendPage(reply: Reply<State> & { kind: 'answer' }, range: PageRange): Promise<void> {
    const { origin, req, room, back } = reply
    const { outlet, token, attempt } = origin
    try {
      const { events, from } = await readPage(room, range, back, this.#pages)
      const bounds = { head: range.head, from }
      if (this.#stopped) outlet.moved(token, attempt)
      else outlet.final(token, attempt, pageFrame(req, room.id, bounds, events, back))
    } catch (error) {
      const code = error instanceof ParleyError ? error.code : 'unavailable'
      if (this.#stopped) outlet.moved(token, attempt)
      else outlet.later(token, attempt, errorFrame(req, refuse(code, undefined, 200)))
    }
  }

  get #pages() {
    return {
      history: this.#context.history,
      record: async (position: number) => (await this.#context.record(this.#p, position))?.data,
    }
  }

  /** Whoever waits in one of these batches is told that the partition has moved. */
  stop(batches: readonly PendingBatch<State>[]): void {
    this.#stopped = true
    for (const { releases } of batches) {
      for (const release of releases) {
        if (release.kind === 'event' || release.kind === 'mark' || release.gone) continue
        release.gone = true
        release.origin.outlet.moved(release.origin.token, release.origin.attempt)
      }
    }
    this.#reads = []
  }
}
