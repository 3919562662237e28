/**
 * Gives a partition up (contracts L, drain): nothing new, everything that was accepted committed, stored and sent,
 * then the log says so. After its `handover` record this host answers nothing more of it.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import type { Fold } from './fold.ts'
import type { Partition } from './partition.ts'

const STEP_MS = 5

/**
 * `handed`: the log says so. `kept`: it could not be drained in time and is served as before. `undecided`: whether the
 * log says so is not known; it must not be served any more.
 */
export const handOver = async <Room, User>(
  { partition, fold }: { partition: Partition<Room>; fold: Fold<User> },
  successor: string | undefined,
  clock: Clock,
  deadline: number,
): Promise<'handed' | 'kept' | 'undecided'> => {
  partition.drain()
  while (!(partition.drained && fold.drained)) {
    if (partition.stopped) return 'undecided'
    if (clock.monotonic() >= deadline) {
      partition.resume()
      return 'kept'
    }
    partition.pulse(false)
    await pause(STEP_MS)
  }
  fold.hurry = true
  await fold.save()
  partition.handover(successor ?? '')
  while (!partition.settled) {
    if (partition.stopped || clock.monotonic() >= deadline) return 'undecided'
    await pause(STEP_MS)
  }
  return 'handed'
}
