/** CPU that processes have used, from /proc (Linux). */
import { readFileSync } from 'node:fs'

/** Clock ticks a second of /proc: 100 on every Linux that Node runs on. */
const TICKS = 100

export type Stat = { readonly parent: number; readonly name: string; readonly cpuMs: number }

/** The fields of /proc/<pid>/stat that are used; the name may hold spaces and brackets. */
export const parseStat = (text: string): Stat => {
  const open = text.indexOf('(')
  const shut = text.lastIndexOf(')')
  const fields = text.slice(shut + 2).split(' ')
  const number = (at: number): number => Number(fields[at])
  // From `state` on: ppid is the 2nd, utime and stime the 12th and 13th.
  const cpuMs = ((number(11) + number(12)) * 1000) / TICKS
  return { parent: number(1), name: text.slice(open + 1, shut), cpuMs }
}

/** Undefined when the process is gone. */
export const statOf = (pid: number): Stat | undefined => {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return undefined
  }
}

/** Resident bytes of a process; undefined when it is gone. */
export const rssOf = (pid: number): number | undefined => {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kib === undefined ? undefined : Number(kib) * 1024
  } catch {
    return undefined
  }
}

/** CPU ms that everything on the machine has used since it started, from the first line of /proc/stat. */
export const parseBusy = (text: string): number => {
  const [user, nice, system, , , irq, softirq] = text.split(/\s+/).slice(1).map(Number)
  return ((user! + nice! + system! + irq! + softirq!) * 1000) / TICKS
}

const busyMs = (): number => parseBusy(readFileSync('/proc/stat', 'utf8'))

export type Metered = {
  readonly byRole: ReadonlyMap<string, number>
  readonly elapsedMs: number
  readonly machineMs: number
}

/** CPU by role between two moments, ms. */
export class CpuMeter {
  readonly #pids: ReadonlyMap<string, number>
  readonly #before = new Map<string, number>()
  #startedAt = 0
  #busyBefore = 0

  /** Roles and their processes. */
  constructor(pids: ReadonlyMap<string, number>) {
    this.#pids = pids
  }

  start(): void {
    for (const [role, pid] of this.#pids) this.#before.set(role, cpuOf(role, pid))
    this.#busyBefore = busyMs()
    this.#startedAt = performance.now()
  }

  /** `machineMs`: of everything on the machine, these roles included. */
  stop(): Metered {
    const elapsedMs = performance.now() - this.#startedAt
    const machineMs = busyMs() - this.#busyBefore
    const byRole = new Map<string, number>()
    for (const [role, pid] of this.#pids) {
      byRole.set(role, cpuOf(role, pid) - this.#before.get(role)!)
    }
    return { byRole, elapsedMs, machineMs }
  }
}

const cpuOf = (role: string, pid: number): number => {
  const stat = statOf(pid)
  if (stat === undefined) throw new Error(`the ${role} process ${pid} is gone`)
  return stat.cpuMs
}
