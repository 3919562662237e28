/**
 * Real Cassandra nodes for tests. A start takes 6 to 10 s (22 s without the class-data archive that
 * `cmd/tools/cassandra.ts` makes) and 500 MB: a test file starts one, and gives each suite a keyspace of its own.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '../ports.ts'
import type { CommitLog } from './cassandra-config.ts'
import { findCassandra } from './cassandra-jars.ts'
import { type CassandraNode, cassandraNode } from './cassandra-node.ts'

export { findCassandra } from './cassandra-jars.ts'

/** What these fixtures need of a tap test: something that runs at its end. */
interface Test {
  teardown(end: () => Promise<void>): void
}

export type CassandraOptions = {
  /** On 127.0.0.1 and, if three, 127.0.0.2 and 127.0.0.3. */
  readonly nodes?: 1 | 3
  readonly commitLog?: CommitLog
  /** Instead of the archive in the cache: the option that Java gets for its class data. */
  readonly classData?: readonly string[]
}

export type Cassandra = AsyncDisposable & {
  readonly nodes: readonly CassandraNode[]
  /** Addresses; the port is the same on all of them. */
  readonly contactPoints: readonly string[]
  readonly port: number
  readonly datacenter: string
  /** Of everything that they write. */
  readonly directory: string
  stop(): Promise<void>
}

/** A third of the ring each. */
const TOKENS = ['-6148914691236517206', '0', '6148914691236517206']
/** A port that was free may be taken before the server listens on it. */
const TRIES = 2

const launch = async (dir: string, options: CassandraOptions): Promise<CassandraNode[]> => {
  const { nodes: count = 1, commitLog = 'periodic' } = options
  const installed = await findCassandra((line) => console.error(line))
  const archived = existsSync(installed.archive)
  const archive =
    options.classData ?? (archived ? [`-XX:SharedArchiveFile=${installed.archive}`] : [])
  const [port, storagePort] = await freePorts(2)
  const nodes = TOKENS.slice(0, count).map((token, n) =>
    cassandraNode(
      {
        address: `127.0.0.${n + 1}`,
        seed: '127.0.0.1',
        storagePort: storagePort!,
        port: port!,
        token: count === 1 ? '0' : token,
        commitLog,
        hints: count > 1,
        dir: join(dir, String(n + 1)),
      },
      installed,
      archive,
    ),
  )
  try {
    // In turn: a node that joins must find the seed.
    for (const node of nodes) await node.start()
  } catch (error) {
    await Promise.all(nodes.map((node) => node.kill()))
    throw error
  }
  return nodes
}

/**
 * One or three nodes with empty data on free ports, gone with all they wrote at the end of `t` (or of the scope).
 *
 * @example const cassandra = await startCassandra(t)
 */
export const startCassandra = async (
  t?: Test,
  options: CassandraOptions = {},
): Promise<Cassandra> => {
  for (let tries = 1; ; tries++) {
    const dir = await mkdtemp(join(tmpdir(), 'parley-cassandra-'))
    try {
      const nodes = await launch(dir, options)
      let ended = false
      const stop = async (): Promise<void> => {
        if (ended) return
        ended = true
        // What they hold is thrown away: no need to let them flush it.
        await Promise.all(nodes.map((node) => node.kill()))
        await rm(dir, { recursive: true, force: true })
      }
      t?.teardown(stop)
      return {
        nodes,
        contactPoints: nodes.map(({ address }) => address),
        port: nodes[0]!.port,
        datacenter: 'datacenter1',
        directory: dir,
        stop,
        [Symbol.asyncDispose]: stop,
      }
    } catch (error) {
      await rm(dir, { recursive: true, force: true })
      if (tries === TRIES || !String(error).includes('Address already in use')) throw error
    }
  }
}
