/**
 * Owns one Cassandra process at a time on one directory.
 *
 * C1. It does not outlive this process, however that ends: beside it waits a shell for the end of a pipe to us.
 * C2. Only what was started here is ended, by its pid.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { javaArguments, LOGBACK, type NodeConfig, yamlOf } from './cassandra-config.ts'
import type { Installed } from './cassandra-jars.ts'

const READY = 'Starting listening for CQL clients'
const START_MS = 180_000
const STOP_MS = 30_000
const LISTEN_MS = 20
const LINES = 40

export type CassandraNode = {
  readonly address: string
  readonly port: number
  /** Undefined while no process lives. */
  readonly pid: number | undefined
  /** Again after `stop` or `kill`; resolves when it takes CQL clients. */
  start(): Promise<void>
  /** SIGTERM, then SIGKILL after the deadline. */
  stop(deadlineMs?: number): Promise<void>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** SIGSTOP and SIGCONT. */
  pause(): void
  resume(): void
}

/** It says that it starts to listen, and does a moment later. */
const listens = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port })
    const end = (answer: boolean) => () => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', end(true)).once('error', end(false))
  })

/** Ends `child` and removes `dir` when this process is gone; the returned function calls it off. */
const guard = (child: ChildProcess, dir: string): (() => void) => {
  const script = 'read -r line; test "$line" = off || { kill -9 "$1"; rm -rf "$2"; }'
  const shell = spawn('/bin/sh', ['-c', script, 'guard', String(child.pid), dir], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  shell.stdin.on('error', () => undefined)
  return () => shell.stdin.end('off\n')
}

/** `archive`: the option for its class-data archive, or none. */
export const cassandraNode = (
  config: NodeConfig,
  { java, jars }: Pick<Installed, 'java' | 'jars'>,
  archive: readonly string[],
): CassandraNode => {
  const { dir, address, port } = config
  let child: ChildProcess | undefined
  let gone: Promise<void> = Promise.resolve()

  const start = async (): Promise<void> => {
    if (child !== undefined) throw new Error('this Cassandra is started already')
    await mkdir(join(dir, 'tmp'), { recursive: true })
    await writeFile(join(dir, 'cassandra.yaml'), yamlOf(config))
    await writeFile(join(dir, 'logback.xml'), LOGBACK)
    const started = spawn(java.path, javaArguments(dir, jars, archive), {
      cwd: dir,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ready = Promise.withResolvers<void>()
    const last: string[] = []
    for (const stream of [started.stdout, started.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (last.push(line) > LINES) last.shift()
        if (line.includes(READY)) ready.resolve()
      })
    }
    const release = started.pid === undefined ? () => {} : guard(started, dirname(dir))
    child = started
    gone = new Promise((resolve) => {
      const ended = (why: string) => {
        release()
        child = undefined
        ready.reject(new Error(`Cassandra ${why}:\n${last.join('\n')}`))
        resolve()
      }
      started.once('exit', (code, signal) => ended(`ended with ${signal ?? code}`))
      started.once('error', (error) => ended(`could not be started: ${error.message}`))
    })
    const timer = setTimeout(
      () => ready.reject(new Error(`Cassandra took longer than ${START_MS / 1000} s to start`)),
      START_MS,
    )
    try {
      await ready.promise
      while (child === started && !(await listens(address, port))) await delay(LISTEN_MS)
    } catch (error) {
      started.kill('SIGKILL')
      await gone
      throw new Error(`${error instanceof Error ? error.message : error}\n${last.join('\n')}`)
    } finally {
      clearTimeout(timer)
    }
  }

  const stop = async (deadlineMs = STOP_MS): Promise<void> => {
    const stopping = child
    if (stopping === undefined) return
    stopping.kill('SIGCONT')
    stopping.kill('SIGTERM')
    const timer = setTimeout(() => stopping.kill('SIGKILL'), deadlineMs)
    await gone
    clearTimeout(timer)
  }

  return {
    address,
    port,
    get pid() {
      return child?.pid
    },
    start,
    stop,
    kill: async () => {
      child?.kill('SIGKILL')
      await gone
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
  }
}
