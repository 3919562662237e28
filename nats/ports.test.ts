import { createServer } from 'node:net'
import t from 'tap'
import { freePort, freePorts } from './ports.ts'

const listen = (port: number): Promise<ReturnType<typeof createServer>> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server))
  })

t.test('ports are different, free, and outside the range of outgoing connections', async (t) => {
  const ports = [...(await freePorts(20)), await freePort()]
  t.equal(new Set(ports.slice(0, 20)).size, 20)
  for (const port of ports) t.ok(port >= 10_000 && port < 32_768, `${port}`)
  const server = await listen(ports[0]!)
  t.teardown(() => server.close())
})
