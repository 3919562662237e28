/** KV `owners` as this host knows it, and its own entries there: raised by CAS, never lowered (contracts O2). */
import type { Entry, Nats, Unsubscribe } from '../bus/bus.ts'
import { fromJson, type Owner, toJson } from '../bus/cluster.ts'
import type { Log } from '../log.ts'
import { change, Following, type Pace } from './placement-kv.ts'

type Known = { readonly owner: Owner | undefined; readonly revision: number }
export type OnOwner = (p: number, owner: Owner | undefined) => void

export class Owners {
  readonly #nats: Nats
  readonly #log: Log
  readonly #pace: Pace
  readonly #life: AbortSignal
  readonly #known: (Known | undefined)[]
  readonly #listeners = new Set<OnOwner>()
  readonly #following: Following

  /** Follows until `life` aborts. */
  constructor(nats: Nats, partitions: number, log: Log, pace: Pace, life: AbortSignal) {
    this.#nats = nats
    this.#log = log
    this.#pace = pace
    this.#life = life
    this.#known = new Array<Known | undefined>(partitions).fill(undefined)
    this.#following = new Following(this.#bucket, (entry) => this.#take(entry), pace, life)
  }

  readonly #bucket = () => this.#nats.bucket('owners')

  /** Reads all again and goes on from there. @throws the reason of `life` */
  renew(): Promise<void> {
    return this.#following.renew()
  }

  of(p: number): Owner | undefined {
    return this.#known[p]?.owner
  }

  /** One for each partition. */
  get all(): readonly (Owner | undefined)[] {
    return this.#known.map((known) => known?.owner)
  }

  listen(callback: OnOwner): Unsubscribe {
    this.#listeners.add(callback)
    return () => this.#listeners.delete(callback)
  }

  /** True when KV holds `owner` then: false when it knows a later epoch, or the same one as handed over. */
  async write(p: number, owner: Owner, signal: AbortSignal): Promise<boolean> {
    const key = String(p)
    const { epoch, state } = owner
    const known = this.#known[p]
    const entry = await change(
      this.#bucket,
      key,
      (found) => {
        const now = this.#read(found)
        const rises =
          now === undefined ||
          now.epoch < epoch ||
          (now.epoch === epoch && now.state === 'serving' && state === 'handed')
        return rises ? toJson(owner) : undefined
      },
      this.#pace,
      AbortSignal.any([signal, this.#life]),
      known && { key, value: known.owner && toJson(known.owner), revision: known.revision },
    )
    if (entry !== undefined) this.#take(entry)
    const now = this.#read(entry)
    return now?.epoch === epoch && now.state === state
  }

  #read(entry: Entry | undefined): Owner | undefined {
    if (entry?.value === undefined) return undefined
    try {
      return fromJson<Owner>(entry.value)
    } catch (err) {
      this.#log.error({ err, key: entry.key }, 'placement.unreadable')
      return undefined
    }
  }

  #take(entry: Entry): void {
    const p = Number(entry.key)
    if (!Number.isInteger(p) || p < 0 || p >= this.#known.length || this.#life.aborted) return
    // A watch of a replica that is behind shows older entries.
    if (entry.revision <= (this.#known[p]?.revision ?? 0)) return
    const owner = this.#read(entry)
    this.#known[p] = { owner, revision: entry.revision }
    for (const listener of this.#listeners) listener(p, owner)
  }
}
