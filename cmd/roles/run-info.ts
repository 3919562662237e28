/** What the processes of a data directory serve, written down for the other processes of the machine. */
import { globSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive } from '../../nats/orphan.ts'

/** The process that holds the directory: `parley up`. */
export type RunInfo = {
  readonly pid: number
  readonly nats: readonly string[]
  readonly api: string | undefined
  readonly gateway: string | undefined
}

export type RoleName = 'host' | 'projector' | 'api' | 'gateway'

/** A role in a process of its own. */
export type RoleInfo = {
  readonly pid: number
  /** Where clients connect; undefined while it waits for what it needs, and for a role without clients. */
  readonly url: string | undefined
  /** Where /health, /ready and /metrics are. */
  readonly operations: string
}

const pathIn = (data: string): string => join(data, 'run.json')
const rolePath = (data: string, role: RoleName, pid: number): string =>
  join(data, `${role}-${pid}.json`)

const write = (path: string, info: object): void => {
  writeFileSync(`${path}.new`, `${JSON.stringify(info)}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

export const writeRunInfo = (data: string, info: RunInfo): void => write(pathIn(data), info)

export const removeRunInfo = (data: string): void => rmSync(pathIn(data), { force: true })

/** Undefined when nothing is known; its process may have been killed since. */
export const readRunInfo = (data: string): RunInfo | undefined => {
  try {
    return JSON.parse(readFileSync(pathIn(data), 'utf8')) as RunInfo
  } catch {
    return undefined
  }
}

/** Also takes away what processes of this role left that were killed. */
export const writeRoleInfo = (data: string, role: RoleName, info: RoleInfo): void => {
  for (const path of globSync(`${role}-*.json`, { cwd: data })) {
    const pid = Number(/\d+/.exec(path)?.[0])
    if (!isAlive(pid)) rmSync(join(data, path), { force: true })
  }
  const { pid, url, operations } = info
  write(rolePath(data, role, pid), { pid, [role]: url, operations })
}

export const removeRoleInfo = (data: string, role: RoleName, pid: number): void =>
  rmSync(rolePath(data, role, pid), { force: true })
