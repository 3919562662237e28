/** What a result must say of where it was measured. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..')

export type Machine = {
  readonly commit: string
  /** Files of the tree differ from the commit. */
  readonly modified: boolean
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly versions: Readonly<Record<string, string>>
}

const git = (...args: string[]): string => {
  try {
    return execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return ''
  }
}

const packageVersion = (name: string): string => {
  const path = join(ROOT, 'node_modules', name, 'package.json')
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string }
  return version
}

/** `natsVersion`: of the server under test. */
export const machine = (natsVersion: string): Machine => ({
  commit: git('rev-parse', 'HEAD').trim(),
  modified:
    git('status', '--porcelain', '--untracked-files=no', '--', ':!bench/results').trim() !== '',
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
  versions: {
    node: process.versions.node,
    'nats-server': natsVersion,
    'uWebSockets.js': packageVersion('uWebSockets.js'),
    '@nats-io/transport-node': packageVersion('@nats-io/transport-node'),
  },
})
