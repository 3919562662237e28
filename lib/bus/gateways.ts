/** The gateways that are alive, as they announce themselves in KV `gateways`. */
import type { Clock } from '../clock.ts'
import type { Bucket, Entry, Nats } from './bus.ts'
import { fromJson, type GatewayEntry } from './cluster.ts'

/** An entry that was not put again for this long is of a dead gateway. */
const DEAD_MS = 10_000

export type Gateways = {
  list(): { url: string; load: number; draining: boolean }[]
  stop(): void
}

export const watchGateways = async (
  bucket: Bucket,
  nats: Nats,
  clock: Clock,
): Promise<Gateways> => {
  /** Seen when, by our own clock: those of other machines may differ. */
  const entries = new Map<string, { entry: GatewayEntry; seen: number }>()
  const take = (entry: Entry) => {
    if (entry.value === undefined) entries.delete(entry.key)
    else entries.set(entry.key, { entry: fromJson(entry.value), seen: clock.monotonic() })
  }
  let unwatch = await bucket.watch(take)
  const ungap = nats.onGap(() => {
    bucket.watch(take).then(
      (stop) => {
        unwatch()
        unwatch = stop
      },
      // The next reconnect tries again; the old watch goes on meanwhile.
      () => undefined,
    )
  })
  return {
    list: () => {
      const live = []
      for (const [key, { entry, seen }] of entries) {
        if (clock.monotonic() - seen > DEAD_MS) entries.delete(key)
        else live.push({ url: entry.url, load: entry.sessions, draining: entry.draining })
      }
      return live
    },
    stop: () => {
      ungap()
      unwatch()
    },
  }
}
