/** The durable queues of this gateway's sessions. */
import type { Refusal } from '../errors.ts'
import { type FeedDeps, QueueFeed } from './queue-feed.ts'
import type { Session } from './session.ts'

export class QueueFeeds {
  readonly #deps: FeedDeps
  readonly #feeds = new Map<Session, QueueFeed>()

  constructor(deps: FeedDeps) {
    this.#deps = deps
  }

  get count(): number {
    return this.#feeds.size
  }

  /** The device has a queue: its entries come from now on. */
  start(session: Session): void {
    if (session.state !== 'open' || this.#feeds.has(session)) return
    this.#feeds.set(session, new QueueFeed(this.#deps, session))
  }

  stop(session: Session): void {
    this.#feeds.get(session)?.stop()
    this.#feeds.delete(session)
  }

  stopAll(): void {
    for (const session of this.#feeds.keys()) this.stop(session)
  }

  /** False when the session has no queue. */
  ack(session: Session, n: number): boolean {
    const feed = this.#feeds.get(session)
    feed?.ack(n)
    return feed !== undefined
  }

  answered(session: Session, ticket: number, frame: Uint8Array): void {
    this.#feeds.get(session)?.answered(ticket, frame)
  }

  refused(session: Session, ticket: number, refusal: Refusal): void {
    this.#feeds.get(session)?.refused(ticket, refusal)
  }
}
