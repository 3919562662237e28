/**
 * The connections of this process to PostgreSQL. Owns which are idle and who waits for one, and whether the server is
 * taken to be reachable.
 *
 * I1. At most `size` connections do work; what waits is bounded in number and time.
 * I2. While the server is taken to be away nobody waits: a call fails at once. One loop tries to reach it again.
 * I3. A call on a server that stops answering fails within a second: after a moment of silence a connection is opened
 *     beside it, and when that gets no answer either, all are given up.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { ParleyError } from '../../../errors.ts'
import type { Log } from '../../../log.ts'
import { afterAwake, type Wait } from './awake.ts'
import type { Connection } from './connection.ts'
import type { Problem } from './problems.ts'

export type PoolParts = {
  readonly size: number
  readonly open: (signal: AbortSignal) => Promise<Connection>
  readonly problem: (error: unknown) => Problem
  readonly log: Pick<Log, 'warn' | 'info'>
}

const CONNECT_MS = 5_000
const WAIT_MS = 2_500
const MOST_WAITING = 1024
const MOST_SILENT_MS = 5_000
const PROBE_MS = 400
/** A connection that is far away takes longer to open: a probe gets this many times what the last one took. */
const PROBE_FACTOR = 3
const AGAIN_MS = { first: 100, most: 1_000 }
/** So that connections spread again after a failover, or after a change of names. */
const LIFE_MS = 30 * 60_000

type Waiter = {
  readonly resolve: (connection: Connection) => void
  readonly reject: (error: ParleyError) => void
  readonly timer: NodeJS.Timeout
}

const unavailable = (detail: string, cause?: unknown): ParleyError =>
  new ParleyError('unavailable', { detail, cause, retryAfterMs: AGAIN_MS.most })

export class Pool {
  readonly #parts: PoolParts
  readonly #all = new Set<Connection>()
  readonly #idle: Connection[] = []
  readonly #waiting: Waiter[] = []
  readonly #stop = new AbortController()
  #opening = 0
  #openedInMs = 0
  #down: ParleyError | undefined
  #probing: Promise<void> | undefined

  constructor(parts: PoolParts) {
    this.#parts = parts
  }

  /**
   * Lends a connection to `work` for at most `ms`, then ends it under its hands. Looks whether the server is there
   * when it takes `silentMs`.
   * @throws ParleyError `unavailable` while the server is away or too slow, `overloaded` when all are in use for too
   * long; whatever `work` throws
   */
  async use<T>(
    work: (connection: Connection) => Promise<T>,
    ms: number,
    silentMs: number,
  ): Promise<T> {
    const watch = this.#watch(silentMs)
    let connection: Connection
    try {
      connection = await this.#take()
    } catch (error) {
      watch.end()
      throw error
    }
    const late = setTimeout(
      () => connection.destroy(unavailable('PostgreSQL took too long to answer')),
      ms,
    )
    try {
      return await work(connection)
    } catch (error) {
      throw connection.reason ?? error
    } finally {
      clearTimeout(late)
      watch.end()
      this.#give(connection)
    }
  }

  /** Ends all connections; calls fail from now on. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#refuse(() => unavailable('The directory is closed.'))
    await Promise.all([...this.#all].map((connection) => connection.close()))
    await this.#probing
  }

  #take(): Promise<Connection> {
    if (this.#stop.signal.aborted) return Promise.reject(unavailable('The directory is closed.'))
    // A new error each time: its stack is the caller's.
    if (this.#down !== undefined) return Promise.reject(again(this.#down))
    if (this.#waiting.length >= MOST_WAITING) return Promise.reject(new ParleyError('overloaded'))
    const { promise, resolve, reject } = Promise.withResolvers<Connection>()
    const waiter: Waiter = {
      resolve,
      reject,
      timer: setTimeout(() => this.#tooLong(waiter), WAIT_MS),
    }
    this.#waiting.push(waiter)
    this.#serve()
    return promise
  }

  #give(connection: Connection): void {
    if (connection.isOpen) this.#idle.push(connection)
    this.#serve()
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const connection = this.#idle.pop()
      if (connection === undefined) break
      if (!connection.isOpen) continue
      if (performance.now() - connection.born > LIFE_MS) {
        this.#all.delete(connection)
        void connection.close()
        continue
      }
      const { resolve, timer } = this.#waiting.shift()!
      clearTimeout(timer)
      resolve(connection)
    }
    while (
      this.#down === undefined &&
      this.#opening < this.#waiting.length &&
      this.#all.size + this.#opening < this.#parts.size
    ) {
      void this.#grow()
    }
  }

  async #grow(): Promise<void> {
    this.#opening++
    try {
      const connection = await this.#open(afterAwake(CONNECT_MS))
      this.#opening--
      this.#add(connection)
    } catch (error) {
      this.#opening--
      const problem = this.#parts.problem(error)
      if (problem.kind !== 'busy') this.#lose(problem.error)
      // With connections of our own left, whoever waits for one gets it in time, or is told that all are in use.
      else if (this.#all.size === 0) this.#refuse(() => again(problem.error))
    }
    this.#serve()
  }

  async #open(late: Wait): Promise<Connection> {
    const since = performance.now()
    const signal = AbortSignal.any([late.signal, this.#stop.signal])
    try {
      const connection = await this.#parts.open(signal)
      this.#openedInMs = performance.now() - since
      return connection
    } catch (error) {
      if (!late.signal.aborted) throw error
      throw Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })
    } finally {
      late.end()
    }
  }

  #add(connection: Connection): void {
    if (this.#stop.signal.aborted) {
      void connection.close()
      return
    }
    this.#all.add(connection)
    connection.onClose = () => {
      this.#all.delete(connection)
      const at = this.#idle.indexOf(connection)
      if (at >= 0) this.#idle.splice(at, 1)
    }
    if (connection.isOpen) this.#idle.push(connection)
    else this.#all.delete(connection)
  }

  #tooLong(waiter: Waiter): void {
    const at = this.#waiting.indexOf(waiter)
    if (at < 0) return
    this.#waiting.splice(at, 1)
    if (this.#all.size === 0) {
      const error = unavailable('PostgreSQL does not answer')
      waiter.reject(error)
      this.#lose(error)
      return
    }
    const detail = `all ${this.#parts.size} connections to PostgreSQL are in use: raise --postgres-pool`
    waiter.reject(new ParleyError('overloaded', { detail, retryAfterMs: AGAIN_MS.most }))
  }

  #refuse(error: () => ParleyError): void {
    for (const { reject, timer } of this.#waiting.splice(0)) {
      clearTimeout(timer)
      reject(error())
    }
  }

  /** Looks whether the server is there while a call has no answer, ever less often (I3). */
  #watch(first: number): { end: () => void } {
    let timer: NodeJS.Timeout
    const next = (ms: number): void => {
      timer = setTimeout(() => {
        this.#probe()
        next(Math.min(ms * 2, MOST_SILENT_MS))
      }, ms)
    }
    next(first)
    return { end: () => clearTimeout(timer) }
  }

  #probe(): void {
    if (this.#down !== undefined || this.#stop.signal.aborted) return
    this.#probing ??= this.#look().finally(() => {
      this.#probing = undefined
    })
  }

  async #look(): Promise<void> {
    const heard = this.#heard()
    try {
      const ms = Math.max(PROBE_MS, PROBE_FACTOR * this.#openedInMs)
      const connection = await this.#open(afterAwake(ms))
      await connection.close()
    } catch (error) {
      const problem = this.#parts.problem(error)
      if (problem.kind === 'busy' || this.#stop.signal.aborted || this.#heard() > heard) return
      this.#lose(problem.error)
      for (const connection of [...this.#all]) connection.destroy(again(problem.error))
    }
  }

  /** Grows with whatever the server sends. */
  #heard(): number {
    let bytes = 0
    for (const { bytesRead } of this.#all) bytes += bytesRead
    return bytes
  }

  #lose(error: ParleyError): void {
    if (this.#down !== undefined || this.#stop.signal.aborted) return
    this.#down = error
    this.#parts.log.warn({ err: error }, 'directory.lost')
    this.#refuse(() => again(error))
    void this.#recover()
  }

  async #recover(): Promise<void> {
    const { signal } = this.#stop
    for (let pause = AGAIN_MS.first; ; pause = Math.min(pause * 2, AGAIN_MS.most)) {
      await delay(pause * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      try {
        const connection = await this.#open(afterAwake(CONNECT_MS))
        this.#down = undefined
        this.#parts.log.info({}, 'directory.back')
        this.#add(connection)
        this.#serve()
        return
      } catch (error) {
        if (!signal.aborted) this.#down = this.#parts.problem(error).error
      }
    }
  }
}

/** The same error for one more caller. */
const again = ({ code, message, retryAfterMs, cause }: ParleyError): ParleyError =>
  new ParleyError(code, { detail: message, retryAfterMs, cause })
