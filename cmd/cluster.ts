/** For commands that only ask a running cluster: a connection to its NATS. */
import type { Command } from 'commander'
import type { Nats } from '../lib/bus/bus.ts'
import type { FixedShape } from '../nats/shape.ts'
import { configOf } from './options.ts'

export const withCluster = (command: Command): Command =>
  command
    .option('--data <directory>', 'the data directory whose cluster is meant, as of `parley up`')
    .option('--nats-url <urls>', 'NATS servers of the cluster, instead')

/** @throws Error that says what to do when there is no cluster to be had */
export const askCluster = async <T>(
  options: Record<string, unknown>,
  ask: (nats: Nats, shape: FixedShape) => Promise<T>,
): Promise<T> => {
  // Loaded here: the commands of a person who chats need none of it, and start quicker.
  const { natsUrlsOf } = await import('./roles/nats-urls.ts')
  const { connectNats } = await import('../lib/bus/nats.ts')
  const { shapeOf } = await import('./roles/nats.ts')
  const urls = natsUrlsOf(configOf(options))()
  const nats = await connectNats({ servers: urls, name: 'parley command' })
  try {
    return await ask(nats, await shapeOf(urls))
  } finally {
    await nats.close()
  }
}
