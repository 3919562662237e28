/** Where the NATS of this process is, when it does not launch one. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../lib/config.ts'
import { readRunInfo } from './run-info.ts'

const SCHEMES = ['nats:', 'tls:']

const requireAddress = (url: string): void => {
  const parsed = URL.parse(url.includes('://') ? url : `nats://${url}`)
  if (parsed !== null && SCHEMES.includes(parsed.protocol) && parsed.hostname !== '') return
  throw new Error(`--nats-url: "${url}" is not an address of a nats-server (nats://host:port)`)
}

/** What the process that holds the data directory says of its NATS, or where it had its own the last time. */
const natsIn = (data: string): readonly string[] | undefined => {
  const told = readRunInfo(data)?.nats
  if (told !== undefined) return told
  const path = join(data, 'nats.port')
  return existsSync(path) ? [`nats://127.0.0.1:${Number(readFileSync(path, 'utf8'))}`] : undefined
}

/** Where NATS is now. @throws Error that says what to do when it is not an address, or nothing tells where it is */
export const natsUrlsOf = ({ natsUrl, data }: Config): (() => readonly string[]) => {
  for (const url of natsUrl) requireAddress(url)
  if (natsUrl.length > 0) return () => natsUrl
  const found = natsIn(data)
  if (found === undefined) {
    throw new Error(
      `Nothing runs in ${data}: start \`parley up --no-gateway\` there first, or give --nats-url.`,
    )
  }
  let last = found
  return () => {
    last = natsIn(data) ?? last
    return last
  }
}
