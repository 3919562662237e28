import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { encodeFrame } from '../protocol/codec.ts'
import { eventually } from '../testing/eventually.ts'
import { handshake, RawClient, wsFrame } from '../testing/gateway/raw-client.ts'
import { ALL, startWorld } from '../testing/gateway/world.ts'

t.test('TLS: spoken when configured, and nothing else then', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'parley-tls-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const tls = { key: join(dir, 'key.pem'), cert: join(dir, 'cert.pem') }
  const made = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'.split(
    ' ',
  )
  const files = ['-subj', '/CN=localhost', '-keyout', tls.key, '-out', tls.cert]
  await promisify(execFile)('openssl', [...made, ...files])
  const world = await startWorld(t)
  const host = await world.host()
  await host.own(ALL, 1)
  const gateway = await world.gateway({ tls })
  t.match(gateway.url, /^wss:/)
  const client = await RawClient.welcomed(gateway.port, 'uA/v1', true)
  client.write(wsFrame(encodeFrame('ping', { req: 5 })))
  await eventually('a pong', () => client.frames.some(({ name }) => name === 'pong'))

  for (const bytes of [handshake(), '\0'.repeat(64), 'x'.repeat(100_000)]) {
    const plain = await RawClient.open(gateway.port)
    plain.write(bytes)
    await eventually('plain bytes on the TLS port: closed', () => plain.closed)
    t.not(plain.status, 101)
  }
  client.write(wsFrame(encodeFrame('ping', { req: 6 })))
  await eventually(
    'undisturbed',
    () => client.frames.filter(({ name }) => name === 'pong').length === 2,
  )
  client.destroy()
})
