/** Follows KV `owners`: which host serves which partition (contracts O2). A hint; `moved` corrects it. */
import type { Bucket, Entry, Unsubscribe } from '../bus/bus.ts'
import { fromJson, type Owner } from '../bus/cluster.ts'

/** Resolves when all that is there now was given to `onOwner`. */
export const watchOwners = async (
  bucket: Bucket,
  onOwner: (p: number, owner: Owner | undefined) => void,
  signal: AbortSignal,
): Promise<Unsubscribe> => {
  const ready = Promise.withResolvers<void>()
  const onEntry = ({ key, value }: Entry): void => {
    const p = Number(key)
    if (Number.isSafeInteger(p))
      onOwner(p, value === undefined ? undefined : fromJson<Owner>(value))
  }
  const stop = await bucket.watch(onEntry, ready.resolve)
  const abort = (): void => ready.reject(signal.reason)
  signal.addEventListener('abort', abort)
  try {
    await ready.promise
  } catch (error) {
    stop()
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
  return stop
}
