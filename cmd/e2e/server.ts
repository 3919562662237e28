/** `parley up` in a process of its own, on free ports and a fresh data directory that goes at the end. */
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '../../lib/testing/eventually.ts'
import { freePorts } from '../../lib/testing/ports.ts'
import { filesOf } from '../../nats/config.ts'
import { isAlive } from '../../nats/orphan.ts'
import { type Child, type Exit, startParley } from './child.ts'
import { onEarlyEnd } from './early-end.ts'

const HOST = '127.0.0.1'
/** The first start on a machine may have to fetch a nats-server, and the first in a directory makes a database. */
const START_MS = 240_000
const STOP_MS = 120_000
const GONE_MS = 60_000
const POLL_MS = 50
/** Of an `up` that ends because its nats-server is killed while it starts. */
const MOST_STARTS = 10

const open = new Set<Server>()

export class Server {
  readonly data: string
  readonly api: string
  readonly gateway: string
  readonly #args: readonly string[]
  #up: Child | undefined

  private constructor(data: string, ports: readonly number[], settings: readonly string[]) {
    const [api, gateway] = ports as [number, number]
    this.data = data
    this.api = `http://${HOST}:${api}`
    this.gateway = `ws://${HOST}:${gateway}`
    const own = ['--data', data, '--api-port', String(api), '--gateway-port', String(gateway)]
    this.#args = ['up', '--log-level', 'warn', ...own, ...settings]
    open.add(this)
  }

  /** Nothing runs yet. `settings`: as `parley up` takes them. */
  static async prepare(settings: readonly string[] = []): Promise<Server> {
    const data = await mkdtemp(join(await realpath(tmpdir()), 'parley-e2e-'))
    return new Server(data, await freePorts(2), settings)
  }

  static async start(settings?: readonly string[]): Promise<Server> {
    const server = await Server.prepare(settings)
    try {
      await server.start()
    } catch (error) {
      await server.end()
      throw error
    }
    return server
  }

  get isAlive(): boolean {
    return this.#up?.isAlive === true
  }

  get pid(): number | undefined {
    return this.isAlive ? this.#up?.pid : undefined
  }

  /** The nats-server of this data directory, while it lives. */
  get natsPid(): number | undefined {
    const { pid: path, config } = filesOf(join(this.data, 'nats'))
    try {
      const pid = Number(readFileSync(path, 'utf8'))
      // The file outlives the server, and its pid may be a stranger's by then.
      return pid > 1 && isAlive(pid) && commandOf(pid).includes(config) ? pid : undefined
    } catch {
      return undefined
    }
  }

  /** What it printed last. */
  get tail(): string {
    return this.#up?.tail ?? ''
  }

  /** Another `parley up` of the same settings, as a person starts it who forgot the first. */
  second(): Child {
    return startParley(this.#args)
  }

  /** Resolves when rooms and users are served, and clients can connect. */
  async start(): Promise<void> {
    this.#up = startParley(this.#args)
    const said: string[] = []
    try {
      await eventually(
        'parley up serves',
        async () => {
          if (!this.isAlive) {
            said.push(this.tail)
            if (said.length === MOST_STARTS) return true
            this.#up = startParley(this.#args)
          }
          return await isServing(this.api)
        },
        { within: START_MS, every: POLL_MS },
      )
    } catch (error) {
      const tails = [...said, this.tail].join('\nstarted again:\n')
      throw new Error(`${(error as Error).message}\n${tails}`)
    }
    if (!this.isAlive) throw new Error(`parley up ends again and again:\n${this.tail}`)
  }

  /** SIGTERM; how it ended. */
  async stop(): Promise<Exit> {
    if (this.#up === undefined) return { code: null, signal: null }
    return this.#up.end(STOP_MS)
  }

  /** kill -9 of the process alone: its nats-server lives on as an orphan. False when it was gone already. */
  async kill(): Promise<boolean> {
    const killed = this.#up?.kill('SIGKILL') === true
    await this.#up?.exit
    return killed
  }

  /** kill -9 of nats-server; the process starts another by itself. False when it was gone already. */
  async killNats(): Promise<boolean> {
    const pid = this.natsPid
    if (pid === undefined || !killNow(pid)) return false
    await this.#gone(pid)
    return true
  }

  /** kill -9 of both in one moment. False when one was gone already. */
  async killAll(): Promise<boolean> {
    const pid = this.natsPid
    const killed = this.#up?.kill('SIGKILL') === true
    const both = pid !== undefined && killNow(pid) && killed
    await this.#up?.exit
    if (pid !== undefined) await this.#gone(pid)
    return both
  }

  async #gone(pid: number): Promise<void> {
    await eventually('nats-server is gone', () => !isAlive(pid), { within: GONE_MS })
  }

  /** Its nats-server runs (again) and everything is served. */
  async isBack(): Promise<void> {
    await eventually(
      'nats-server is back and everything is served',
      async () => this.natsPid !== undefined && (await isServing(this.api)),
      { within: START_MS, every: POLL_MS },
    )
  }

  /** Drains, and removes the data; what was killed and not started again leaves its nats-server. */
  async end(): Promise<void> {
    await this.stop()
    await this.killNats()
    open.delete(this)
    await rm(this.data, { recursive: true, force: true, maxRetries: 5 })
  }

  /** `end` in a hurry. */
  endNow(): void {
    this.#up?.kill('SIGKILL')
    const pid = this.natsPid
    if (pid !== undefined) killNow(pid)
    rmSync(this.data, { recursive: true, force: true, maxRetries: 5 })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end()
  }
}

onEarlyEnd(() => {
  for (const server of open) server.endNow()
})

/** False when it was gone already. */
const killNow = (pid: number): boolean => {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** @throws Error when there is no such process */
const commandOf = (pid: number): string =>
  process.platform === 'linux'
    ? readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    : execFileSync('ps', ['-o', 'args=', '-p', String(pid)], { encoding: 'utf8' })

/** Ready, and a gateway is known. */
const isServing = async (api: string): Promise<boolean> => {
  for (const path of ['/ready', '/v1/gateway']) {
    const answer = await fetch(api + path, { signal: AbortSignal.timeout(2_000) })
    await answer.body?.cancel()
    if (!answer.ok) return false
  }
  return true
}
