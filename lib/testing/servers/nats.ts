import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ClusterOptions, launchCluster, type NatsCluster } from '../../../nats/cluster.ts'
import { type LaunchOptions, launchNats, type NatsServer } from '../../../nats/launch.ts'

/** What these fixtures need of a tap test: something that runs at its end. */
interface Test {
  teardown(end: () => Promise<void>): void
}

type Options = Partial<Omit<LaunchOptions, 'cluster'>>

/** Lines of the launcher, shown when a start fails. */
const LINES = 50

const spoken = (): { say: (line: string) => void; lines: string[] } => {
  const lines: string[] = []
  return {
    lines,
    say: (line) => {
      lines.push(line)
      if (lines.length > LINES) lines.shift()
    },
  }
}

let hooked = false

/** A test runner ends a file that takes too long by a signal, which by itself would leave the servers behind. */
const exitOnSignals = (): void => {
  if (hooked) return
  hooked = true
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGALRM'] as const) {
    process.once(signal, () => process.exit(1))
  }
}

const withDir = async <T extends AsyncDisposable & { stop(): Promise<void> }>(
  t: Test | undefined,
  launch: (dataDir: string, say: (line: string) => void) => Promise<T>,
): Promise<T & { readonly dataDir: string }> => {
  exitOnSignals()
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-nats-'))
  const { say, lines } = spoken()
  let server: T
  try {
    server = await launch(dataDir, say)
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true })
    throw new Error(`no nats-server for this test:\n${lines.join('\n')}`, { cause: error })
  }
  const end = async (): Promise<void> => {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  t?.teardown(end)
  return Object.defineProperties(server, {
    dataDir: { value: dataDir },
    [Symbol.asyncDispose]: { value: end },
  }) as T & { readonly dataDir: string }
}

/**
 * A nats-server of this test's own: free port, empty store, both gone at the end.
 *
 * @example await using nats = await startNats()
 */
export const startNats = (
  t?: Test,
  options: Options = {},
): Promise<NatsServer & { readonly dataDir: string }> =>
  withDir(t, (dataDir, say) => launchNats({ port: 0, say, dataDir, ...options }))

/** Three nats-servers in a cluster, each of which may be killed, paused and started again. */
export const startNatsCluster = (
  size = 3,
  t?: Test,
  options: Partial<ClusterOptions> = {},
): Promise<NatsCluster & { readonly dataDir: string }> =>
  withDir(t, (dataDir, say) => launchCluster({ size, say, dataDir, ...options }))
