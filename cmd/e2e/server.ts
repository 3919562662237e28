/** `parley up` in a process of its own, on free ports and a fresh data directory that goes at the end. */
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '../../lib/testing/eventually.ts'
import { freePorts } from '../../lib/testing/ports.ts'
import { filesOf } from '../../nats/config.ts'
import { isAlive } from '../../nats/orphan.ts'
import { type Child, type Exit, startParley } from './child.ts'

const HOST = '127.0.0.1'
/** The first start on a machine may have to fetch a nats-server. */
const START_MS = 120_000
const STOP_MS = 40_000
const GONE_MS = 10_000
const POLL_MS = 50
/** Of an `up` that ends because its nats-server is killed while it starts. */
const MOST_STARTS = 10

const open = new Set<Server>()

export class Server {
  readonly data: string
  readonly api: string
  readonly gateway: string
  readonly #args: readonly string[]
  /** nats-servers that are gone: their pid file is there until the next one starts. */
  readonly #dead = new Set<number>()
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
    const data = await mkdtemp(join(tmpdir(), 'parley-e2e-'))
    return new Server(data, await freePorts(2), settings)
  }

  static async start(settings?: readonly string[]): Promise<Server> {
    const server = await Server.prepare(settings)
    await server.start()
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
    try {
      const pid = Number(readFileSync(filesOf(join(this.data, 'nats')).pid, 'utf8'))
      return pid > 1 && !this.#dead.has(pid) && isAlive(pid) ? pid : undefined
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
    let starts = 1
    try {
      await eventually(
        'parley up serves',
        async () => {
          if (!this.isAlive) {
            if (starts++ === MOST_STARTS) return true
            this.#up = startParley(this.#args)
          }
          return await isServing(this.api)
        },
        { within: START_MS, every: POLL_MS },
      )
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.tail}`)
    }
    if (!this.isAlive) throw new Error(`parley up ended:\n${this.tail}`)
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
    if (pid === undefined) return false
    process.kill(pid, 'SIGKILL')
    await this.#gone(pid)
    return true
  }

  /** kill -9 of both in one moment. False when one was gone already. */
  async killAll(): Promise<boolean> {
    const pid = this.natsPid
    const killed = this.#up?.kill('SIGKILL') === true
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
    await this.#up?.exit
    if (pid !== undefined) await this.#gone(pid)
    return killed && pid !== undefined
  }

  async #gone(pid: number): Promise<void> {
    await eventually('nats-server is gone', () => !isAlive(pid), { within: GONE_MS })
    this.#dead.add(pid)
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
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
    rmSync(this.data, { recursive: true, force: true, maxRetries: 5 })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end()
  }
}

// A test that is ended early must leave no server behind.
process.on('exit', () => {
  for (const server of open) server.endNow()
})

/** Ready, and a gateway is known. */
const isServing = async (api: string): Promise<boolean> => {
  for (const path of ['/ready', '/v1/gateway']) {
    const answer = await fetch(api + path, { signal: AbortSignal.timeout(2_000) })
    await answer.body?.cancel()
    if (!answer.ok) return false
  }
  return true
}
