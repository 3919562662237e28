import { existsSync } from 'node:fs'
import t from 'tap'
import { startNats } from './nats.ts'

t.test('a server lives as long as its scope, and leaves nothing behind', async (t) => {
  let dir: string
  let url: string
  {
    await using nats = await startNats()
    await using other = await startNats()
    t.not(nats.url, other.url, 'each has its own')
    t.ok(existsSync(nats.dataDir))
    ;({ dataDir: dir, url } = nats)
  }
  t.notOk(existsSync(dir))
  const { connect } = await import('@nats-io/transport-node')
  await t.rejects(connect({ servers: url, reconnect: false }))
})

t.test('or as long as the test it is given', async (t) => {
  let dir = ''
  await t.test('inner', async (t) => {
    const nats = await startNats(t)
    dir = nats.dataDir
    t.ok(existsSync(dir))
  })
  t.notOk(existsSync(dir))
})

t.test('when it does not start, the error says how far it came', async (t) => {
  await t.rejects(startNats(t, { serverPath: '/nowhere/nats-server' }), {
    cause: { message: /\/nowhere\/nats-server does not run/ },
  })
})
