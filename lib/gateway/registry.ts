/** The gateway's entry in KV `gateways`, put again and again while it lives, so that the API can send clients to it. */
import type { Bucket } from '../bus/bus.ts'
import { type GatewayEntry, toJson } from '../bus/cluster.ts'
import type { Log } from '../log.ts'

export class Registry {
  readonly #bucket: Bucket
  readonly #log: Log
  readonly #every: number
  readonly #entry: () => GatewayEntry
  #putAt = Number.NEGATIVE_INFINITY
  #putting: Promise<void> | undefined
  #ended = false

  constructor(bucket: Bucket, everyMs: number, entry: () => GatewayEntry, log: Log) {
    this.#bucket = bucket
    this.#every = everyMs
    this.#entry = entry
    this.#log = log
  }

  /** Puts the entry when it is time; `now` in monotonic ms. */
  tick(now: number): void {
    if (now - this.#putAt < this.#every || this.#putting !== undefined || this.#ended) return
    this.#putAt = now
    // Its failures are logged; nobody waits for it but `remove`.
    void this.put()
  }

  put(): Promise<void> {
    this.#putting ??= this.#put()
    return this.#putting
  }

  async #put(): Promise<void> {
    const entry = this.#entry()
    try {
      await this.#bucket.put(entry.gateway, toJson(entry))
    } catch (err) {
      this.#log.warn({ err }, 'gateway.entry_failed')
    } finally {
      this.#putting = undefined
    }
  }

  /** Takes the entry away for good. */
  async remove(): Promise<void> {
    this.#ended = true
    await this.#putting
    try {
      await this.#bucket.remove(this.#entry().gateway)
    } catch (err) {
      this.#log.warn({ err }, 'gateway.entry_failed')
    }
  }
}
