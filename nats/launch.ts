import { mkdir, realpath, rename, writeFile } from 'node:fs/promises'
import { cacheDir } from './cache-dir.ts'
import { type Exit, ServerChild } from './child.ts'
import { type ClusterPlace, filesOf, renderConfig, type Sync } from './config.ts'
import { findServer } from './find.ts'
import type { Health } from './health.ts'
import { stopOrphan } from './orphan.ts'
import { freePorts } from './ports.ts'

export interface LaunchOptions {
  /** Holds the server's store, configuration, log and pid file; made when it is not there. */
  readonly dataDir: string
  /** 0: a free one, kept as long as this object lives. */
  readonly port: number
  /** `always`: fsync before every ack (survives power loss). `default`: every two minutes. */
  readonly sync?: Sync
  /** The nats-server to use; without it one is found or fetched (see `findServer`). */
  readonly serverPath?: string
  /** Start it again when it dies. */
  readonly supervise?: boolean
  readonly say?: (line: string) => void
  readonly cluster?: ClusterPlace
  /** Bytes on disk for all streams together; default 64 GiB. */
  readonly maxStoreBytes?: number
  readonly startMs?: number
}

export interface NatsServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly monitorPort: number
  /** Undefined while no process lives. */
  readonly pid: number | undefined
  /** Again after `stop`, `kill` or a death, on the same port and store. */
  start(health?: Health): Promise<void>
  /** SIGTERM, then SIGKILL after the deadline (default 10 s). */
  stop(deadlineMs?: number): Promise<void>
  /** SIGKILL; resolves when it is gone. A supervised server comes back by itself. */
  kill(): Promise<void>
  /** SIGSTOP and SIGCONT. */
  pause(): void
  resume(): void
  /** Tells of every end of the process; returns how to stop listening. */
  onExit(listener: (exit: Exit) => void): () => void
}

const GIB = 1024 ** 3
const MAX_MEMORY = GIB / 4
const START_MS = 60_000
/** A port that was free may be taken before the server listens on it. */
const PORT_TRIES = 3

const open = async (options: LaunchOptions, command: string): Promise<NatsServer> => {
  const { supervise = false, say = () => {}, cluster } = options
  await mkdir(options.dataDir, { recursive: true })
  // Resolved, so that every run of this directory gives its server the same command line (orphan.ts).
  const dataDir = await realpath(options.dataDir)
  const files = filesOf(dataDir)
  // Before the configuration is written: a server in use must not find another's when it starts again.
  await stopOrphan(files, say)
  const [free, monitorPort] = await freePorts(2)
  const port = options.port === 0 ? free! : options.port
  const config = await renderConfig({
    dataDir,
    port,
    monitorPort: monitorPort!,
    sync: options.sync ?? 'default',
    maxStoreBytes: options.maxStoreBytes ?? 64 * GIB,
    maxMemoryBytes: MAX_MEMORY,
    ...(cluster === undefined ? {} : { cluster }),
  })
  await writeFile(`${files.config}.new`, config)
  await rename(`${files.config}.new`, files.config)

  const child = new ServerChild({
    command,
    files,
    monitorPort: monitorPort!,
    health: cluster === undefined ? 'all' : 'member',
    supervise,
    startMs: options.startMs ?? START_MS,
    say,
  })
  await child.start()
  const url = `nats://127.0.0.1:${port}`
  say(`nats-server listens at ${url} (pid ${child.pid}), store in ${dataDir}`)
  return {
    url,
    port,
    monitorPort: monitorPort!,
    get pid() {
      return child.pid
    },
    start: (health) => child.start(health),
    stop: (deadlineMs) => child.stop(deadlineMs),
    kill: () => child.kill(),
    pause: () => child.pause(),
    resume: () => child.resume(),
    onExit: (listener) => child.onExit(listener),
    [Symbol.asyncDispose]: () => child.stop(),
  }
}

/**
 * Starts a nats-server on loopback and waits until it is healthy. Throws when none can be found or fetched, when
 * another process runs one on the same directory, or when it does not get healthy, with the end of its log.
 */
export const launchNats = async (options: LaunchOptions): Promise<NatsServer> => {
  const { serverPath, say = () => {} } = options
  const found = await findServer({
    ...(serverPath === undefined ? {} : { serverPath }),
    path: process.env.PATH ?? '',
    cacheDir: cacheDir(),
    say,
  })
  for (let tries = 1; ; tries++) {
    try {
      return await open(options, found.path)
    } catch (error) {
      if (options.port !== 0 || tries === PORT_TRIES) throw error
    }
  }
}
