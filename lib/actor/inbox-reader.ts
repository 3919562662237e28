/**
 * Brings the inbox of a partition to its fold, without a hole: whatever a connection loses on the way is read again
 * from where the fold is (contracts I2, I3). While the fold is full, nothing more is asked for.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { RecordSource } from '../bus/record-source.ts'
import type { Fold } from './fold.ts'

const WAIT_MS = 1000
const FULL_MS = 20
const BACKOFF_MIN_MS = 20
const BACKOFF_MAX_MS = 1000

/** Runs until `signal` aborts. `failed` is told why the inbox could not be read for now. */
export const readInboxInto = async <User>(
  source: RecordSource,
  fold: Fold<User>,
  signal: AbortSignal,
  failed: (cause: unknown) => void,
): Promise<void> => {
  let backoff = BACKOFF_MIN_MS
  let open = false
  while (!signal.aborted) {
    try {
      if (!open) await source.open(fold.position + 1)
      open = true
      const records = await source.next(WAIT_MS, signal)
      for (const record of records) {
        await roomIn(fold, signal)
        fold.onMessage(record)
      }
      // The floor is kept in KV `checkpoints`; this spares the server the list of what is out.
      source.ack()
      backoff = BACKOFF_MIN_MS
    } catch (cause) {
      open = false
      failed(cause)
      await pause(backoff, undefined, { signal }).catch(() => undefined)
      backoff = Math.min(2 * backoff, BACKOFF_MAX_MS)
    }
  }
  source.close()
}

const roomIn = async <User>(fold: Fold<User>, signal: AbortSignal): Promise<void> => {
  // Aborting is seen by the condition.
  while (fold.full && !signal.aborted) {
    await pause(FULL_MS, undefined, { signal }).catch(() => undefined)
  }
}
