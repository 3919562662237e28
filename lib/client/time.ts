/** Time and chance as the client needs them; tests give a fake one (testing/fake-time.ts). */
import type { Clock } from '../clock.ts'

export interface Time extends Clock {
  /** Runs `run` once, `ms` from now. The result cancels it. */
  after(ms: number, run: () => void): () => void
  /** 0 ≤ x < 1 */
  random(): number
}

export const systemTime: Time = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
}

/** Resolves `ms` from now. @throws the signal's reason when it aborts first. */
export const sleep = (time: Time, ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason)
      return
    }
    const onAbort = () => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = time.after(ms, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })

/** Settles as `work` does, or throws the signal's reason when it aborts first. */
export const orAborted = <T>(work: Promise<T>, signal?: AbortSignal): Promise<T> => {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
