import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import t from 'tap'
import { logSubject } from '../lib/subjects.ts'
import { eventually } from '../lib/testing/eventually.ts'
import { startNatsCluster } from '../lib/testing/servers/nats.ts'
import type { NatsServer } from './launch.ts'
import { provision } from './provision.ts'
import { shape } from './shape.ts'

/** Elections take up to 9 s. */
const ELECTED = { within: 30_000, every: 50 }

t.test('three servers', async (t) => {
  const cluster = await startNatsCluster(3, t)
  const nc = await connect({ servers: [...cluster.urls], maxReconnectAttempts: -1 })
  t.teardown(() => nc.close())
  const jsm = await jetstreamManager(nc, { timeout: 2_000 })
  const js = jsm.jetstream()
  const small = shape({ partitions: 2, streams: 1, replicas: 3 })
  const index = (name: string): number => Number(name.slice(1))

  await t.test('are one cluster of unique names, on loopback', async (t) => {
    const names = new Set<string>()
    for (const { monitorPort } of cluster.servers) {
      const response = await fetch(`http://127.0.0.1:${monitorPort}/varz`)
      const varz = (await response.json()) as {
        server_name: string
        cluster: { name: string; addr: string }
      }
      names.add(varz.server_name)
      t.match(varz.cluster, { name: 'parley', addr: '127.0.0.1' })
    }
    t.equal(names.size, 3)
  })

  await t.test('hold each stream three times', async (t) => {
    const { created } = await provision(nc, small)
    t.ok(created.includes('LOG_0'))
    t.strictSame(await provision(nc, small), { created: [], changed: [] })
    const { config, cluster: raft } = await jsm.streams.info('LOG_0')
    t.equal(config.num_replicas, 3)
    t.ok(raft?.leader)
    t.equal(raft?.replicas?.length, 2)
    t.equal((await js.publish(logSubject(0), 'one')).seq, 1)
  })

  /** A server that neither leads the log nor holds our connection. */
  const follower = async (): Promise<NatsServer> => {
    const { cluster: raft } = await jsm.streams.info('LOG_0')
    const servers = raft!.replicas!.map((peer) => cluster.servers[index(peer.name)]!)
    return servers.find(({ url }) => !url.endsWith(nc.getServer()))!
  }

  await t.test('go on without one of them, which catches up when it is back', async (t) => {
    const victim = await follower()
    const { port } = victim
    await victim.kill()
    t.equal(victim.pid, undefined)
    t.equal((await js.publish(logSubject(0), 'two')).seq, 2)
    await victim.start()
    t.equal(victim.port, port, 'on the same port')
    await eventually(
      'all three are current',
      async () => {
        const { cluster: raft } = await jsm.streams.info('LOG_0')
        return raft?.replicas?.length === 2 && raft.replicas.every((peer) => peer.current)
      },
      ELECTED,
    )
  })

  await t.test('go on while one is paused', async (t) => {
    const paused = await follower()
    paused.pause()
    t.equal((await js.publish(logSubject(1), 'while one sleeps')).seq, 3)
    paused.resume()
  })

  await t.test('elect a leader after the loss of all three, and have lost nothing', async (t) => {
    await Promise.all(cluster.servers.map((server) => server.kill()))
    await cluster.servers[0]!.start('alone')
    await Promise.all(cluster.servers.slice(1).map((server) => server.start()))
    const state = await eventually(
      'the log is back',
      async () => (await jsm.streams.info('LOG_0')).state,
      ELECTED,
    )
    t.match(state, { messages: 3, last_seq: 3 })
    const publish = () => js.publish(logSubject(0), 'four').catch(() => undefined)
    t.ok((await eventually('it takes messages', publish, ELECTED)).seq >= 4)
  })
})
