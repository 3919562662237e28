/** Follows KV `owners`: which host serves which partition (contracts O2). A hint; `moved` corrects it. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Bucket, Entry, Nats, Unsubscribe } from '../bus/bus.ts'
import { fromJson, type Owner } from '../bus/cluster.ts'

/** In which a bucket of a few hundred entries is read. */
const READY_MS = 5_000
const AGAIN_MS = 500

type Waits = { readonly readyMs: number; readonly againMs: number }

/**
 * Resolves when all that is there now was given to `onOwner`. What a NATS that went away and came back may have kept
 * from us is asked for anew, so an owner may be told twice. @throws the signal's reason, when it aborts before
 */
export const watchOwners = async (
  bucket: Bucket,
  nats: Pick<Nats, 'onGap'>,
  onOwner: (p: number, owner: Owner | undefined) => void,
  signal: AbortSignal,
  { readyMs, againMs }: Waits = { readyMs: READY_MS, againMs: AGAIN_MS },
): Promise<Unsubscribe> => {
  const end = new AbortController()
  let stop: Unsubscribe = () => {}
  const onEntry = ({ key, value }: Entry): void => {
    const p = Number(key)
    if (!Number.isSafeInteger(p) || end.signal.aborted) return
    onOwner(p, value === undefined ? undefined : fromJson<Owner>(value))
  }
  const ask = async (): Promise<void> => {
    stop()
    stop = () => {}
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const left = () => resolve()
    const timer = setTimeout(() => reject(new Error('KV owners is not complete')), readyMs)
    // Nobody waits for it when the watch itself fails.
    promise.catch(() => undefined)
    end.signal.addEventListener('abort', left)
    try {
      stop = await bucket.watch(onEntry, resolve)
      await promise
    } finally {
      clearTimeout(timer)
      end.signal.removeEventListener('abort', left)
    }
  }
  const askUntilAnswered = async (): Promise<void> => {
    while (!end.signal.aborted) {
      try {
        await ask()
        break
      } catch {
        await pause(againMs, undefined, { signal: end.signal }).catch(() => undefined)
      }
    }
    if (end.signal.aborted) stop()
  }
  let asking = askUntilAnswered()
  const ungap = nats.onGap(() => {
    asking = asking.then(askUntilAnswered)
  })
  const leave = (): void => {
    end.abort()
    ungap()
    stop()
  }
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(signal.reason)
  signal.addEventListener('abort', abort)
  try {
    await Promise.race([asking, aborted])
  } catch (error) {
    leave()
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
  return leave
}
