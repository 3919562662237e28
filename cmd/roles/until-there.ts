/** Waiting for what a process stands on, as long as it takes, and saying what it waits for. */
import { setTimeout as pause } from 'node:timers/promises'
import { systemClock } from '../../lib/clock.ts'
import { ParleyError } from '../../lib/errors.ts'
import type { EventName, Log } from '../../lib/log.ts'

export type Wait = {
  /** Its name in the log. */
  readonly event: EventName
  readonly log: Log
  /** Told what it waits for, in words for an operator. */
  readonly waiting: (why: string) => void
}

export type Attempt<T> = {
  open(): Promise<T>
  /** Of what was opened after all when nobody wants it any more. */
  close(it: T): Promise<void>
  /** Whether waiting may mend it; else: `canRetry`. */
  readonly mends?: (error: ParleyError) => boolean
}

const FIRST_PAUSE_MS = 100
const MOST_PAUSE_MS = 3_000
/** The same reason is logged again after this long. */
const SAY_AGAIN_MS = 30_000

/**
 * Tries again, longer after each attempt, and says why in the log. @throws the reason of `signal`; what waiting does not
 * mend
 */
export const untilThere = async <T>(
  attempt: Attempt<T>,
  wait: Wait,
  signal: AbortSignal,
): Promise<T> => {
  const { event, log, waiting } = wait
  const { mends = (error: ParleyError) => error.canRetry } = attempt
  const began = systemClock.monotonic()
  let said = { why: '', at: Number.NEGATIVE_INFINITY }
  for (let ms = FIRST_PAUSE_MS; ; ms = Math.min(2 * ms, MOST_PAUSE_MS)) {
    try {
      return await unlessAborted(attempt, signal)
    } catch (err) {
      signal.throwIfAborted()
      if (!(err instanceof ParleyError && mends(err))) throw err
      const at = systemClock.monotonic()
      const why = err.message
      waiting(why)
      if (why !== said.why || at - said.at >= SAY_AGAIN_MS) {
        said = { why, at }
        log.warn({ err, seconds: Math.round((at - began) / 1000) }, event)
      }
    }
    // Many processes that lost the same server must not come back in one moment.
    await pause(ms * (0.5 + Math.random() / 2), undefined, { signal })
  }
}

/** An attempt takes its own time to fail; whoever is told to stop does not wait for that. */
const unlessAborted = async <T>({ open, close }: Attempt<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const attempt = open()
  const abort = (): void => {
    reject(signal.reason)
    // Its failure is nobody's any more.
    attempt.then(close).catch(() => undefined)
  }
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([attempt, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
