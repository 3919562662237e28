/**
 * A worker number of this process (KV `workers`), so that no two live processes make the same ids. Renewed while the
 * process lives; one that can't renew in time stops making ids rather than risk a double.
 */
import type { Bucket } from '../bus/bus.ts'
import { fromJson, toJson } from '../bus/cluster.ts'
import type { Clock } from '../clock.ts'
import { ParleyError } from '../errors.ts'
import { Snowflake, WORKERS } from '../snowflake.ts'

type Lease = { readonly holder: string; readonly time: number; readonly used: number }

const RENEW_MS = 10_000
/** A lease that was not renewed for this long is free; its holder has stopped at STOP_MS. */
const FREE_MS = 90_000
const STOP_MS = 60_000

export class WorkerLease {
  readonly #bucket: Bucket
  readonly #holder: string
  readonly #clock: Clock
  #snowflake: Snowflake | undefined
  #revision = 0
  #renewedAt = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(bucket: Bucket, holder: string, clock: Clock) {
    this.#bucket = bucket
    this.#holder = holder
    this.#clock = clock
  }

  /** Takes a free number. @throws ParleyError unavailable when all are taken */
  async start(): Promise<void> {
    const from = Math.floor(Math.random() * WORKERS)
    for (let i = 0; i < WORKERS && !this.#stopped; i++) {
      if (await this.#take((from + i) % WORKERS)) {
        this.#timer ??= setInterval(() => void this.renew(), RENEW_MS).unref()
        return
      }
    }
    throw new ParleyError('unavailable', { detail: `all ${WORKERS} worker numbers are leased` })
  }

  async #take(worker: number): Promise<boolean> {
    const entry = await this.#bucket.get(String(worker))
    const now = this.#clock.now()
    const held = entry?.value === undefined ? undefined : fromJson<Lease>(entry.value)
    if (held !== undefined && now - held.time < FREE_MS) return false
    const used = Math.max(now, (held?.used ?? 0) + 1)
    const lease: Lease = { holder: this.#holder, time: now, used }
    const revision = await this.#bucket.cas(String(worker), toJson(lease), entry?.revision ?? 0)
    if (revision === undefined) return false
    this.#revision = revision
    this.#renewedAt = this.#clock.monotonic()
    this.#snowflake = new Snowflake(worker, used)
    return true
  }

  /** Every 10 s, by itself. Without an answer the number is good for a while longer. */
  async renew(): Promise<void> {
    try {
      if (this.#snowflake === undefined) await this.start()
      else await this.#extend(this.#snowflake)
    } catch {
      // The next round tries again; `source` stops giving numbers in time.
    }
  }

  async #extend(snowflake: Snowflake): Promise<void> {
    const at = this.#clock.monotonic()
    const lease: Lease = { holder: this.#holder, time: this.#clock.now(), used: snowflake.last }
    const key = String(snowflake.worker)
    const revision = await this.#bucket.cas(key, toJson(lease), this.#revision)
    if (revision !== undefined) {
      this.#revision = revision
      this.#renewedAt = at
      return
    }
    // Our own write may have been stored without an answer; or another holder came: then take a new number.
    const entry = await this.#bucket.get(key)
    const held = entry?.value === undefined ? undefined : fromJson<Lease>(entry.value)
    if (entry !== undefined && held?.holder === this.#holder) this.#revision = entry.revision
    else {
      this.#snowflake = undefined
      await this.start()
    }
  }

  /** @throws ParleyError unavailable when the lease may have passed to another process */
  get source(): Snowflake {
    if (this.#snowflake === undefined || this.#clock.monotonic() - this.#renewedAt > STOP_MS) {
      throw new ParleyError('unavailable', {
        detail: 'no worker number is leased: is NATS reachable?',
      })
    }
    return this.#snowflake
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    const snowflake = this.#snowflake
    this.#snowflake = undefined
    if (snowflake !== undefined) {
      // Free at once for the next process, which starts after the newest id of this one.
      const lease: Lease = { holder: '', time: 0, used: snowflake.last }
      await this.#bucket
        .cas(String(snowflake.worker), toJson(lease), this.#revision)
        .catch(() => undefined)
    }
  }
}
