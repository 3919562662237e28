/**
 * Owns one nats-server process at a time: starts it, waits for its health, starts it again with backoff when it dies
 * unasked (if supervised), and ends it.
 *
 * C1. At most one process of a data directory lives: an orphan is stopped before ours is spawned.
 * C2. It has a process group of its own, so that Ctrl-C reaches only its parent, which drains first.
 * C3. It does not outlive a normal exit of its parent; after a `kill -9` of the parent the next start stops it (C1).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { ServerFiles } from './config.ts'
import { type Health, waitForHealth } from './health.ts'
import { stopOrphan } from './orphan.ts'

export interface ChildOptions {
  readonly command: string
  readonly files: ServerFiles
  readonly monitorPort: number
  readonly health: Health
  readonly supervise: boolean
  /** How long a start may take until the server is healthy. */
  readonly startMs: number
  readonly say: (line: string) => void
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** True when nobody had asked it to stop. */
  readonly unexpected: boolean
}

const STOP_MS = 10_000
const BACKOFF_MS = 100
const MAX_BACKOFF_MS = 5_000
/** A process that lived this long starts again at the shortest backoff. */
const STEADY_MS = 10_000
const LOG_TAIL = 600

const living = new Set<ChildProcess>()
let hooked = false

const hookExit = (): void => {
  if (hooked) return
  hooked = true
  process.once('exit', () => {
    for (const child of living) child.kill('SIGTERM')
  })
}

/** The last lines of a file. */
const tail = async (path: string): Promise<string> => {
  const text = (await readFile(path, 'utf8').catch(() => '')).trim()
  return text.length <= LOG_TAIL ? text : text.slice(text.indexOf('\n', text.length - LOG_TAIL) + 1)
}

export class ServerChild {
  readonly #options: ChildOptions
  readonly #listeners = new Set<(exit: Exit) => void>()
  #child: ChildProcess | undefined
  #gone: Promise<void> = Promise.resolve()
  #wanted = false
  #starting: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #backoff = BACKOFF_MS
  #spawnedAt = 0

  constructor(options: ChildOptions) {
    this.#options = options
  }

  /** Undefined while no process lives. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  onExit(listener: (exit: Exit) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Starts the server and waits until it is healthy; throws, with the end of its log, when it does not get there. */
  async start(health: Health = this.#options.health): Promise<void> {
    if (this.#wanted) throw new Error('this nats-server is started already')
    this.#wanted = true
    try {
      await this.#begin(health)
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** SIGTERM, then SIGKILL after the deadline. The server is not started again. */
  async stop(deadlineMs = STOP_MS): Promise<void> {
    this.#wanted = false
    clearTimeout(this.#timer)
    this.#timer = undefined
    const child = this.#child
    if (child !== undefined) {
      child.ref()
      child.kill('SIGCONT')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
      await this.#gone
      clearTimeout(timer)
    }
    await this.#starting?.catch(() => undefined)
  }

  /** SIGKILL, as a crash would end it; resolves when it is gone. A supervised server comes back by itself. */
  async kill(): Promise<void> {
    if (!this.#options.supervise) this.#wanted = false
    this.#child?.ref()
    this.#child?.kill('SIGKILL')
    await this.#gone
    if (!this.#options.supervise) await this.#starting?.catch(() => undefined)
  }

  /** SIGSTOP: the process keeps its connections and answers nothing. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  #begin(health: Health): Promise<void> {
    const starting = this.#spawn(health).finally(() => {
      if (this.#starting === starting) this.#starting = undefined
    })
    this.#starting = starting
    return starting
  }

  async #spawn(health: Health): Promise<void> {
    const { command, files, monitorPort, say, startMs } = this.#options
    await stopOrphan(files, say)
    if (!this.#wanted) throw new Error('this nats-server was stopped while it started')

    hookExit()
    writeFileSync(files.launcher, String(process.pid))
    const output = openSync(files.output, 'w')
    const child = spawn(command, ['-c', files.config], {
      detached: true,
      stdio: ['ignore', output, output],
    })
    closeSync(output)
    // A parent that has nothing else to do may end, and the server with it (C3).
    child.unref()
    if (child.pid !== undefined) writeFileSync(files.pid, String(child.pid))

    this.#child = child
    this.#spawnedAt = performance.now()
    living.add(child)
    const died = new AbortController()
    this.#gone = new Promise((resolve) => {
      const ended = (code: number | null, signal: NodeJS.Signals | null): void => {
        living.delete(child)
        this.#child = undefined
        died.abort()
        resolve()
        this.#ended(code, signal)
      }
      child.once('exit', ended)
      child.once('error', () => child.pid === undefined && ended(null, null))
    })

    const signal = AbortSignal.any([died.signal, AbortSignal.timeout(startMs)])
    try {
      await waitForHealth(monitorPort, health, signal)
    } catch (error) {
      const why = died.signal.aborted
        ? 'ended at once'
        : `was not healthy within ${startMs / 1000} s`
      const log = `${await tail(files.output)}\n${await tail(files.log)}`.trim()
      throw new Error(`nats-server ${why}\n${log}`, { cause: error })
    }
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    const exit = { code, signal, unexpected: this.#wanted }
    if (!this.#options.supervise) this.#wanted = false
    if (performance.now() - this.#spawnedAt > STEADY_MS) this.#backoff = BACKOFF_MS
    if (this.#wanted) this.#later(`nats-server ended (${signal ?? code})`)
    for (const listener of this.#listeners) listener(exit)
  }

  #later(why: string): void {
    this.#options.say(`${why}; starting it again in ${this.#backoff} ms`)
    this.#timer = setTimeout(() => void this.#again(), this.#backoff)
    this.#timer.unref()
    this.#backoff = Math.min(this.#backoff * 2, MAX_BACKOFF_MS)
  }

  async #again(): Promise<void> {
    this.#timer = undefined
    const { health, say } = this.#options
    try {
      await this.#begin(health === 'member' ? 'alone' : health)
      say(`nats-server is back (pid ${this.pid})`)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      // A process that died has set the next timer already; one that lives but is not healthy is left to recover.
      if (this.#wanted && this.#child === undefined && this.#timer === undefined)
        this.#later(reason)
      else say(reason)
    }
  }
}
