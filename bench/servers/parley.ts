/** Parley under test: processes of its own on free ports, data in a fresh directory that goes at the end. */
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readlink, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '../../lib/testing/eventually.ts'
import { filesOf } from '../../nats/config.ts'
import { freePorts } from '../../nats/ports.ts'
import { checkServer } from '../../nats/version.ts'
import type { Address } from '../load/connection.ts'
import { statOf } from '../measure/cpu.ts'
import { ServerProcess } from './process.ts'

/** `split`: a gateway process, one with everything else, nats-server. `one`: the gateway in the second. */
export type Topology = 'split' | 'one'
export const ROLES = ['gateway', 'host', 'nats'] as const
export type Role = (typeof ROLES)[number]

export type ParleyOptions = {
  readonly topology: Topology
  /** `B`: fsync before every ack. */
  readonly durability: 'A' | 'B'
  /** Where processes write their CPU profiles when they stop. */
  readonly cpuProf: string | undefined
  /** Settings as `parley` takes them, after those of the harness. */
  readonly settings: readonly string[]
}

const ENTRY = fileURLToPath(new URL('../../cmd/parley.mjs', import.meta.url))
const START_MS = 120_000
const POLL_MS = 100
const MOST_STARTS = 20
const HOST = '127.0.0.1'

/** No limit of a well-behaved deployment may stand in the way of a load. */
const UNLIMITED = [
  ['frame-rate', 1e6],
  ['frame-burst', 1e6],
  ['byte-rate', 1e9],
  ['byte-burst', 1e9],
  ['sessions-per-address', 1e6],
  ['api-rate', 1e6],
  ['login-rate', 1e6],
  ['access-minutes', 1440],
].flatMap(([name, value]) => [`--${name}`, String(value)])

export class Parley {
  readonly data: string
  readonly address: Address
  readonly #options: ParleyOptions
  readonly #settings: readonly string[]
  readonly #apiPort: number
  #host: ServerProcess | undefined
  #gateway: ServerProcess | undefined

  private constructor(data: string, options: ParleyOptions, ports: readonly number[]) {
    const [api, gateway, nats] = ports as [number, number, number]
    this.data = data
    this.address = { host: HOST, port: gateway }
    this.#options = options
    this.#apiPort = api
    this.#settings = [
      ...['--data', data, '--log-level', 'error', '--nats-port', String(nats)],
      ...['--api-port', String(api), '--gateway-port', String(gateway)],
      ...['--sync', options.durability === 'B' ? 'always' : 'default'],
      ...UNLIMITED,
      ...options.settings,
    ]
  }

  /** A fresh data directory and its ports; nothing runs yet. */
  static async prepare(options: ParleyOptions): Promise<Parley> {
    const data = await mkdtemp(join(tmpdir(), 'parley-bench-'))
    return new Parley(data, options, await freePorts(3))
  }

  /** For commands of `parley` beside the servers, `seed` say. */
  get settings(): readonly string[] {
    return this.#settings
  }

  async start(): Promise<void> {
    await this.startHost()
    if (this.#options.topology === 'split') await this.startGateway()
  }

  #spawn(role: Role, args: readonly string[]): ServerProcess {
    const { cpuProf } = this.#options
    const profile =
      cpuProf === undefined
        ? []
        : [
            '--cpu-prof',
            `--cpu-prof-dir=${cpuProf}`,
            `--cpu-prof-name=${role}-${Date.now()}.cpuprofile`,
          ]
    return new ServerProcess(role, [...profile, ENTRY, ...args, ...this.#settings])
  }

  /** The process with everything but (in `split`) the gateway; resolves when it serves. */
  async startHost(): Promise<void> {
    const { topology } = this.#options
    const args = topology === 'split' ? ['up', '--no-gateway'] : ['up']
    const start = () => {
      this.#host = this.#spawn('host', args)
      return this.#host
    }
    await untilServing(start, async () => {
      const ready = await isReady(this.#apiPort)
      return ready && (topology === 'split' || (await listens(this.address.port)))
    })
  }

  async startGateway(): Promise<void> {
    const start = () => {
      this.#gateway = this.#spawn('gateway', ['gateway'])
      return this.#gateway
    }
    await untilServing(start, () => listens(this.address.port))
  }

  /** The process of a role; undefined while it is not there. */
  pidOf(role: Role): number | undefined {
    if (role === 'nats') return this.#natsPid()
    const found = role === 'host' || this.#options.topology === 'one' ? this.#host : this.#gateway
    return found?.isAlive === true ? found.pid : undefined
  }

  #natsPid(): number | undefined {
    const path = filesOf(join(this.data, 'nats')).pid
    const pid = existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0
    return pid > 0 && statOf(pid)?.name === 'nats-server' ? pid : undefined
  }

  /** Every server process with its role. */
  get pids(): ReadonlyMap<string, number> {
    const pids = new Map<string, number>()
    for (const role of this.#options.topology === 'one' ? (['host', 'nats'] as const) : ROLES) {
      const pid = this.pidOf(role)
      if (pid === undefined) throw new Error(`there is no ${role} process`)
      pids.set(role, pid)
    }
    return pids
  }

  /** kill -9, without a restart; false when nothing was there to kill. */
  async kill(role: Role): Promise<boolean> {
    const pid = this.pidOf(role)
    if (pid === undefined) return false
    if (role !== 'nats') return (role === 'host' ? this.#host! : this.#gateway!).kill()
    process.kill(pid, 'SIGKILL')
    await eventually(
      'nats-server is gone',
      () => statOf(pid)?.name !== 'nats-server' || isZombie(pid),
    )
    return true
  }

  /** Starts what was killed; nats-server comes back by its host. */
  async restart(role: Role): Promise<void> {
    if (role === 'host') await this.startHost()
    else if (role === 'gateway') await this.startGateway()
    else await eventually('nats-server is back', () => this.#natsPid(), { within: START_MS })
  }

  /** Of the nats-server that runs. */
  async natsVersion(): Promise<string> {
    const pid = this.#natsPid()
    if (pid === undefined) return 'unknown'
    const checked = await checkServer(await readlink(`/proc/${pid}/exe`))
    return 'version' in checked ? checked.version : 'unknown'
  }

  /** What the processes printed last. */
  get tails(): string {
    const all = [this.#host, this.#gateway].filter((one) => one !== undefined)
    return all.map((one) => `--- ${one.role}\n${one.tail}`).join('\n')
  }

  /** Drains everything and removes the data. */
  async end(): Promise<void> {
    await this.#gateway?.stop()
    await this.#host?.stop()
    // A host that was killed and not started again leaves its nats-server.
    const nats = this.#natsPid()
    if (nats !== undefined) process.kill(nats, 'SIGKILL')
    await rm(this.data, { recursive: true, force: true, maxRetries: 5 })
  }
}

const isZombie = (pid: number): boolean => {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return true
  }
}

/** As a supervisor does it: a process that ends before it serves, because another is down, is started again. */
const untilServing = async (
  start: () => ServerProcess,
  check: () => Promise<boolean>,
): Promise<void> => {
  let child = start()
  let starts = 1
  try {
    await eventually(
      `${child.role} serves`,
      async () => {
        if (!child.isAlive) {
          if (starts++ === MOST_STARTS) return true
          child = start()
        }
        return check()
      },
      { within: START_MS, every: POLL_MS },
    )
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${child.tail}`)
  }
  if (!child.isAlive) throw new Error(`the ${child.role} process ended:\n${child.tail}`)
}

const isReady = async (port: number): Promise<boolean> => {
  const answer = await fetch(`http://${HOST}:${port}/ready`, { signal: AbortSignal.timeout(2000) })
  await answer.body?.cancel()
  return answer.ok
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: HOST, port })
    const answer = (yes: boolean): void => {
      socket.destroy()
      resolve(yes)
    }
    socket.setTimeout(2000, () => answer(false))
    socket.once('connect', () => answer(true))
    socket.once('error', () => answer(false))
  })
