/** A run that is ended early (a deadline of the test runner, Ctrl-C) must leave no process behind. */

/** SIGALRM is how tap ends a file that takes too long. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGALRM'] as const

const ends: (() => void)[] = []

const endAll = (): void => {
  for (const end of ends) end()
}

/** `end` must do all it does at once; it may be called more than once. */
export const onEarlyEnd = (end: () => void): void => {
  if (ends.push(end) > 1) return
  process.on('exit', endAll)
  for (const signal of SIGNALS) {
    process.once(signal, () => {
      endAll()
      // Now without this listener: it ends the process as it would have, or others do.
      process.kill(process.pid, signal)
    })
  }
}
