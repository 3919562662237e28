import { connect } from '@nats-io/transport-node'
import { provision } from '../../../nats/provision.ts'
import { type Shape, shape } from '../../../nats/shape.ts'
import type { Nats } from '../../bus/bus.ts'
import { connectNats } from '../../bus/nats.ts'
import { startNats, startNatsCluster } from './nats.ts'

interface Test {
  teardown(end: () => Promise<void>): void
}

type Given = Partial<Omit<Shape, 'limits'>> & { readonly limits?: Partial<Shape['limits']> }

const opened = async (t: Test, servers: readonly string[], given: Given) => {
  const its = shape(given)
  const nc = await connect({ servers: [...servers] })
  await provision(nc, its)
  await nc.close()
  return {
    shape: its,
    /** Another connection, to the first server or to the one that is named. */
    connect: async (url = servers[0]!): Promise<Nats> => {
      const nats = await connectNats({
        servers: url === servers[0] ? servers : [url],
        name: 'test',
      })
      t.teardown(() => nats.close())
      return nats
    },
  }
}

/** A nats-server of this test's own with the streams and buckets of a cluster of this shape. */
export const startBus = async (t: Test, given: Given = {}) => {
  const server = await startNats(t)
  return { server, ...(await opened(t, [server.url], given)) }
}

/** The same on three nats-servers with every stream on each of them. */
export const startBusCluster = async (t: Test, given: Given = {}) => {
  const cluster = await startNatsCluster(3, t)
  const its = await opened(t, cluster.urls, { ...given, replicas: 3 })
  return { servers: cluster.servers, urls: cluster.urls, ...its }
}
