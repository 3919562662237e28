/** The life of a process: started, told to stop, drained, gone. */
import { systemClock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Service } from '../../lib/service.ts'

/** Resolves on the first SIGINT or SIGTERM; a second one ends the process at once. */
export const untilStopped = (signal: AbortSignal): Promise<NodeJS.Signals | 'aborted'> =>
  new Promise((resolve) => {
    let asked = false
    const onSignal = (name: NodeJS.Signals) => {
      if (asked) process.exit(130)
      asked = true
      resolve(name)
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
    signal.addEventListener('abort', () => resolve('aborted'), { once: true })
  })

/**
 * Starts a service, tells `serving`, and drains it when the process is told to stop. Sets the exit code: 0 after a
 * drain or when told to stop before it served, 1 when the drain was not complete. @throws what the start failed of
 */
export const runService = async (
  service: Service,
  log: Log,
  drainSeconds: number,
  serving: () => void,
): Promise<void> => {
  const start = new AbortController()
  const stopped = untilStopped(start.signal)
  void stopped.then(() => start.abort(new Error('told to stop')))
  try {
    await service.start(start.signal)
  } catch (error) {
    if (!start.signal.aborted) throw error
    log.info({}, 'process.stopped_early')
    return
  }
  serving()
  const name = await stopped
  log.info({ signal: name }, 'process.draining')
  try {
    await service.drain(systemClock.monotonic() + drainSeconds * 1000)
    log.info({}, 'process.drained')
  } catch (err) {
    log.error({ err }, 'process.drain_failed')
    process.exitCode = 1
  }
}

/** Ends the process, whatever timer or socket a part has left behind: all that matters is drained. */
export const end = (): never => process.exit()
