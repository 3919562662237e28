/** What the process that holds a data directory serves, written down for the other processes of the machine. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type RunInfo = {
  readonly pid: number
  readonly nats: readonly string[]
  readonly api: string | undefined
  readonly gateway: string | undefined
}

const pathIn = (data: string): string => join(data, 'run.json')

export const writeRunInfo = (data: string, info: RunInfo): void => {
  const path = pathIn(data)
  writeFileSync(`${path}.new`, `${JSON.stringify(info)}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

export const removeRunInfo = (data: string): void => rmSync(pathIn(data), { force: true })

/** Undefined when nothing is known; its process may have been killed since. */
export const readRunInfo = (data: string): RunInfo | undefined => {
  try {
    return JSON.parse(readFileSync(pathIn(data), 'utf8')) as RunInfo
  } catch {
    return undefined
  }
}
