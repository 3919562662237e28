/** Runs the stage probes one after the other, each in processes of its own. */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { withConnection } from '../../lib/bus/provisioning.ts'
import { launchNats, type NatsServer } from '../../nats/launch.ts'
import { provision } from '../../nats/provision.ts'
import { shape } from '../../nats/shape.ts'
import { statOf } from '../measure/cpu.ts'
import { loadEcho, pingEcho } from './echo-load.ts'
import { probeEncode } from './encode.ts'
import type { PartReport } from './part.ts'
import type { Probe, ProbeResults } from './probe.ts'

const PART = fileURLToPath(new URL('./part.ts', import.meta.url))
const ANSWER_MS = 30_000
const WARM_UP_MS = 1000
const MANY_MS = 3000
const ONE_MS = 1000
const PINGS = 2000
/** What is on its way arrives meanwhile. */
const REST_MS = 100

export type ProbeOptions = {
  readonly pairs: number
  readonly window: number
  readonly sync: 'default' | 'always'
  /** The nats-server to use; undefined finds one. */
  readonly serverPath: string | undefined
}

class PartProcess {
  readonly #child: ChildProcess

  constructor(role: string, argument: string) {
    this.#child = fork(PART, [role, argument], { serialization: 'advanced' })
  }

  answer<T>(): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const timer = setTimeout(() => reject(new Error('a probe does not answer')), ANSWER_MS)
    this.#child.once('message', (message) => resolve(message as T))
    this.#child.once('exit', () => reject(new Error('a probe ended')))
    return promise.finally(() => clearTimeout(timer))
  }

  order<T>(order: 'many' | 'one' | 'stop'): Promise<T> {
    const answer = this.answer<T>()
    this.#child.send(order)
    return answer
  }

  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }
}

export const runProbes = async (
  options: ProbeOptions,
  say: (line: string) => void,
): Promise<ProbeResults> => {
  say('probe: encode')
  const encode = probeEncode()
  say('probe: echo')
  const echo = await probeEcho(options)
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-probe-'))
  const { serverPath, sync } = options
  const path = serverPath === undefined ? {} : { serverPath }
  const nats = await launchNats({ dataDir, port: 0, sync, ...path })
  try {
    say('probe: publish')
    const publish = await probeNats(nats, ['ask', 'answer'])
    say('probe: commit')
    const declared = shape({ partitions: 64 })
    await withConnection([nats.url], (connection) => provision(connection, declared))
    const commit = await probeNats(nats, ['commit'])
    return { echo, publish, commit, encode }
  } finally {
    await nats.stop()
    await rm(dataDir, { recursive: true, force: true, maxRetries: 5 })
  }
}

const probeEcho = async ({ pairs, window }: ProbeOptions): Promise<Probe> => {
  const server = new PartProcess('echo', '')
  try {
    const { port } = await server.answer<{ port: number }>()
    const stop = await loadEcho(port, pairs, window)
    await pause(WARM_UP_MS)
    await server.order('many')
    await pause(MANY_MS)
    const { cpuUs, count } = await server.order<PartReport>('stop')
    stop()
    return { us: cpuUs / count, p50: await pingEcho(port, PINGS) }
  } finally {
    server.end()
  }
}

/** The first role counts; the CPU of all roles and of the server is theirs together. */
const probeNats = async (nats: NatsServer, roles: readonly string[]): Promise<Probe> => {
  const parts = roles.map((role) => new PartProcess(role, nats.url))
  const all = <T>(order: 'many' | 'one' | 'stop'): Promise<T[]> =>
    Promise.all(parts.map((part) => part.order<T>(order)))
  try {
    await Promise.all(parts.map((part) => part.answer()))
    await all('many')
    await pause(WARM_UP_MS)
    await all('stop')
    await pause(REST_MS)
    const before = statOf(nats.pid!)!.cpuMs
    await all('many')
    await pause(MANY_MS)
    const reports = await all<PartReport>('stop')
    const natsUs = (statOf(nats.pid!)!.cpuMs - before) * 1000
    const cpuUs = reports.reduce((sum, report) => sum + report.cpuUs, natsUs)
    await pause(REST_MS)
    await all('one')
    await pause(ONE_MS)
    const [one] = await all<PartReport>('stop')
    return { us: cpuUs / reports[0]!.count, p50: one!.p50Us / 1000 }
  } finally {
    for (const part of parts) part.end()
  }
}
