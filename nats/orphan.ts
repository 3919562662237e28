import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServerFiles } from './config.ts'

const TERM_MS = 5_000
const KILL_MS = 5_000
const POLL_MS = 10
const PS_MS = 5_000

/** A process that has ended but that nobody has waited for: in a container, process 1 may take its time. */
const isZombie = (pid: number): boolean => {
  if (process.platform !== 'linux') return false
  try {
    return /^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch (error) {
    // Waited for since it was asked for by its signal.
    return ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')
  }
}

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return !isZombie(pid)
}

const readPid = async (path: string): Promise<number | undefined> => {
  const text = await readFile(path, 'utf8').catch(() => '')
  const pid = Number.parseInt(text, 10)
  return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined
}

interface ProcessInfo {
  readonly command: string
  readonly parent: number
}

const byPs = (pid: number): Promise<ProcessInfo | undefined> =>
  new Promise((resolve) => {
    const args = ['-o', 'ppid=,args=', '-p', String(pid)]
    execFile('ps', args, { timeout: PS_MS }, (error, stdout) => {
      const match = /^\s*(\d+)\s+(.*)/.exec(stdout)
      if (error !== null || match === null) return resolve(undefined)
      resolve({ parent: Number(match[1]), command: match[2] ?? '' })
    })
  })

const byProc = async (pid: number): Promise<ProcessInfo | undefined> => {
  try {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8')
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    const parent = /^PPid:\s*(\d+)/m.exec(status)?.[1]
    return { command: command.replaceAll('\0', ' '), parent: Number(parent ?? 0) }
  } catch {
    return undefined
  }
}

const inspect = (pid: number): Promise<ProcessInfo | undefined> =>
  process.platform === 'linux' ? byProc(pid) : byPs(pid)

/** True when `pid` was gone within the time; asks again and again, since a stranger's child can't be waited for. */
const goneWithin = async (pid: number, ms: number): Promise<boolean> => {
  const deadline = performance.now() + ms
  while (isAlive(pid)) {
    if (performance.now() > deadline) return false
    await delay(POLL_MS)
  }
  return true
}

/**
 * Stops a nats-server that runs on the same data directory although the process that launched it is gone: two servers
 * on one store would damage it. Throws when its launcher still lives, since then the directory is in use.
 */
export const stopOrphan = async (
  files: ServerFiles,
  say: (line: string) => void,
): Promise<void> => {
  const pid = await readPid(files.pid)
  if (pid === undefined || !isAlive(pid)) return
  // A pid is used again by others: only a process that was given our configuration is the server.
  const found = await inspect(pid)
  if (found === undefined || !found.command.includes(files.config)) return
  // The kernel gives an orphan another parent, so this can't be a pid used again.
  if (found.parent === (await readPid(files.launcher))) {
    throw new Error(
      `${files.config} is in use: process ${found.parent} runs nats-server ${pid} on it. Stop that process first.`,
    )
  }
  say(`stopping nats-server ${pid}, left over from an earlier run`)
  process.kill(pid, 'SIGCONT')
  process.kill(pid, 'SIGTERM')
  if (await goneWithin(pid, TERM_MS)) return
  if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  if (!(await goneWithin(pid, KILL_MS))) throw new Error(`nats-server ${pid} does not end`)
}
