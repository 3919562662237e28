/** How far history has stored each log stream, as KV `checkpoints` tells. */
import type { Bucket, Nats, Unsubscribe } from '../bus/bus.ts'
import { readFloor } from '../bus/projections.ts'

const PREFIX = 'floor.history.'
const READ_AGAIN_MS = 30_000

export class HistoryFloors {
  readonly #bucket: Bucket
  readonly #floors: number[]
  #stop: Unsubscribe = () => {}
  #gap: Unsubscribe = () => {}
  #timer: NodeJS.Timeout | undefined

  constructor(bucket: Bucket, streams: number) {
    this.#bucket = bucket
    this.#floors = new Array<number>(streams).fill(0)
  }

  async start(nats: Nats): Promise<void> {
    await this.#readAll()
    this.#stop = await this.#bucket.watch((entry) => this.#take(entry.key, entry.value))
    // A watch may have missed something over a reconnect; floors only rise, so reading them again is always right.
    const again = () => void this.#readAll().catch(() => undefined)
    this.#gap = nats.onGap(again)
    this.#timer = setInterval(again, READ_AGAIN_MS)
  }

  async #readAll(): Promise<void> {
    for (let k = 0; k < this.#floors.length; k++) {
      const entry = await this.#bucket.get(`${PREFIX}${k}`)
      if (entry !== undefined) this.#take(entry.key, entry.value)
    }
  }

  #take(key: string, value: Uint8Array | undefined): void {
    if (!key.startsWith(PREFIX) || value === undefined) return
    const k = Number(key.slice(PREFIX.length))
    const floor = this.#floors[k]
    if (floor !== undefined) this.#floors[k] = Math.max(floor, readFloor(value).position)
  }

  /** Everything of log stream `k` up to here is in history. */
  of(k: number): number {
    return this.#floors[k] ?? 0
  }

  stop(): void {
    this.#stop()
    this.#gap()
    clearInterval(this.#timer)
  }
}
