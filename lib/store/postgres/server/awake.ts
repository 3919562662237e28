/** Longer than a loop turn of a busy process takes. */
const TICK_MS = 25

export type Wait = { readonly signal: AbortSignal; end(): void }

/**
 * Aborts after `ms` in which this process could listen: while it computes, or the machine has no time for it, it would
 * take its own silence for that of others. `end` stops the clock.
 */
export const afterAwake = (ms: number): Wait => {
  const over = new AbortController()
  let left = Math.ceil(ms / TICK_MS)
  const timer = setInterval(() => {
    if (--left > 0) return
    clearInterval(timer)
    over.abort(new Error('no answer in time'))
  }, TICK_MS)
  return { signal: over.signal, end: () => clearInterval(timer) }
}
