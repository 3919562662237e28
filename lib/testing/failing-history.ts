/** A history that is out of reach while a test says so. */
import { ParleyError } from '../errors.ts'
import type { HistoryStore } from '../store/history/history.ts'

export type FailingHistory = HistoryStore & {
  /** From now on every call fails with `unavailable`. */
  fail(): void
  mend(): void
  /** Calls that failed. */
  readonly refused: number
}

export const failingHistory = (history: HistoryStore): FailingHistory => {
  let down = false
  let refused = 0
  const unless =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (!down) return work(...args)
      refused++
      throw new ParleyError('unavailable', { detail: 'the store is down' })
    }
  return {
    append: unless((...args) => history.append(...args)),
    floor: unless((...args) => history.floor(...args)),
    page: unless((...args) => history.page(...args)),
    kept: unless((...args) => history.kept(...args)),
    drop: unless((...args) => history.drop(...args)),
    spans: unless((...args) => history.spans(...args)),
    close: () => history.close(),
    fail: () => {
      down = true
    },
    mend: () => {
      down = false
    },
    get refused() {
      return refused
    },
  }
}
