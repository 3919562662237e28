/**
 * Fetches the Cassandra that tests and benchmarks use, and makes its class-data archive, with which it starts in a third of
 * the time: once (two minutes), before they run. Where Java 17 or Maven is missing it says so and changes nothing.
 */
import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { newGroupId } from '../../lib/ids.ts'
import { createLog } from '../../lib/log.ts'
import { openCql } from '../../lib/store/cql/open.ts'
import {
  type Cassandra,
  findCassandra,
  startCassandra,
} from '../../lib/testing/servers/cassandra.ts'

const say = (line: string): void => void process.stderr.write(`${line}\n`)
/** Writing the archive at its exit takes up to a minute. */
const EXIT_MS = 180_000

/** Uses it as tests will: the archive holds the classes that are loaded by then. */
const exercise = async ({ contactPoints, port, datacenter }: Cassandra): Promise<void> => {
  const stores = await openCql({
    contactPoints,
    port,
    datacenter,
    keyspace: 'parley',
    replication: new Map([[datacenter, 1]]),
    tablets: 'default',
    log: createLog({ level: 'error', format: 'text' }),
  })
  const room = newGroupId()
  const rows = Array.from({ length: 100 }, (_, n) => ({
    room,
    seq: n + 1,
    frame: new Uint8Array(200),
  }))
  try {
    await stores.history.append(rows, 0, 1)
    await stores.history.page(room, 1, 100)
    await stores.history.drop(room, 50)
    await stores.history.spans(undefined, 10)
  } finally {
    await stores.close()
  }
}

const makeArchive = async (archive: string): Promise<void> => {
  const fresh = `${archive}.${process.pid}`
  try {
    await using cassandra = await startCassandra(undefined, {
      classData: [`-XX:ArchiveClassesAtExit=${fresh}`],
    })
    await exercise(cassandra)
    await cassandra.nodes[0]!.stop(EXIT_MS)
    await rename(fresh, archive)
  } finally {
    await rm(fresh, { force: true })
  }
}

try {
  const { archive, java } = await findCassandra(say)
  if (!existsSync(archive)) {
    say('making the class-data archive of Cassandra (a minute, once)')
    await makeArchive(archive)
  }
  say(`Cassandra on Java ${java.version}: ${archive}`)
} catch (error) {
  say(`no Cassandra: ${error instanceof Error ? error.message : error}`)
}
