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

/** A gateway in a process of its own. */
export type GatewayInfo = {
  readonly pid: number
  /** Where clients connect; undefined while it waits for what it needs. */
  readonly gateway: string | undefined
  /** Where /health, /ready and /metrics are. */
  readonly operations: string
}

const pathIn = (data: string): string => join(data, 'run.json')
const gatewayPath = (data: string, pid: number): string => join(data, `gateway-${pid}.json`)

const write = (path: string, info: RunInfo | GatewayInfo): void => {
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

/** Also takes away what gateways left that were killed. */
export const writeGatewayInfo = (data: string, info: GatewayInfo): void => {
  for (const path of globSync('gateway-*.json', { cwd: data })) {
    const pid = Number(/\d+/.exec(path)?.[0])
    if (!isAlive(pid)) rmSync(join(data, path), { force: true })
  }
  write(gatewayPath(data, info.pid), info)
}

export const removeGatewayInfo = (data: string, pid: number): void =>
  rmSync(gatewayPath(data, pid), { force: true })
