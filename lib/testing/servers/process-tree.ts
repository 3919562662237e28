import { execFileSync } from 'node:child_process'

const PS_MS = 5_000

/**
 * A process and all that it started, itself first. PostgreSQL gives each of its processes a group of its own, so a
 * signal to the group of the first reaches only that one.
 */
export const processTree = (pid: number): number[] => {
  const output = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], {
    encoding: 'utf8',
    timeout: PS_MS,
    maxBuffer: 16 * 1024 * 1024,
  })
  const pairs = output
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number) as [number, number])
  const found = [pid]
  // Grows while it is gone through.
  for (const parent of found) {
    for (const [child, its] of pairs)
      if (its === parent && !found.includes(child)) found.push(child)
  }
  return found
}

/** To each of them that is still there. */
export const signalAll = (pids: readonly number[], signal: NodeJS.Signals): void => {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // It is gone.
    }
  }
}
