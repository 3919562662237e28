import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import t from 'tap'
import { skipWithout } from './availability.ts'
import { findCassandra, startCassandra } from './cassandra.ts'

t.setTimeout(300_000)

const skip = await skipWithout('Cassandra', () => findCassandra(console.error))

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
const takesConnections = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2000 })
    const end = (answer: boolean) => () => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false))
  })

t.test('a node lives as long as its scope, and leaves nothing behind', { skip }, async (t) => {
  let pid: number
  let directory: string
  {
    await using cassandra = await startCassandra()
    const [node] = cassandra.nodes
    ;({ directory } = cassandra)
    t.ok(existsSync(directory))
    t.ok(await takesConnections(node!.address, node!.port))
    const first = node!.pid!
    await node!.kill()
    t.notOk(isAlive(first))
    t.equal(node!.pid, undefined)
    t.notOk(await takesConnections(node!.address, node!.port))
    await node!.start()
    pid = node!.pid!
    t.not(pid, first)
    t.ok(await takesConnections(node!.address, node!.port), 'on the same port')
    await t.rejects(node!.start(), { message: /started already/ })
    node!.pause()
  }
  t.notOk(isAlive(pid), 'also while it was paused')
  t.notOk(existsSync(directory))
})
