/** A host alone in a process, for tests that kill it. Prints its incarnation when it serves every partition. */
import { setTimeout as pause } from 'node:timers/promises'
import { connectNats } from '../../lib/bus/nats.ts'
import { readConfig } from '../../lib/config.ts'
import { createLog } from '../../lib/log.ts'
import { createHost } from './host.ts'
import { shapeOf } from './nats.ts'
import { openActorStores } from './stores.ts'

const [url, data] = process.argv.slice(2) as [string, string]
const config = readConfig({ data }, {})
const log = createLog({ level: 'warn', format: 'text' })
const stores = await openActorStores(config, log)
const shape = await shapeOf([url])
const nats = await connectNats({ servers: [url], name: 'host' })
const host = createHost(config, nats, shape, stores, log)
await host.start(AbortSignal.timeout(30_000))
while (host.serving.length < shape.partitions) await pause(5)
process.stdout.write(`${host.incarnation}\n`)
