import t from 'tap'
import { fill, renderConfig, type ServerSettings } from './config.ts'

const settings: ServerSettings = {
  dataDir: '/data/with "quotes" and \\',
  port: 4222,
  monitorPort: 8222,
  sync: 'default',
  maxStoreBytes: 1_000_000,
  maxMemoryBytes: 2_000,
}

const cluster = { clusterName: 'parley', serverName: 'n1', port: 6222, routes: [6222, 6223, 6224] }

t.test('a template with a placeholder that nobody fills is refused', async (t) => {
  t.equal(fill('a {{x}} b', { x: '1' }), 'a 1 b')
  t.throws(() => fill('{{x}} {{y}}', { x: '1' }), /no value for y/)
})

t.test('one server', async (t) => {
  const text = await renderConfig(settings)
  t.match(text, 'listen: "127.0.0.1:4222"')
  t.match(text, 'http: "127.0.0.1:8222"')
  t.match(text, 'max_payload: 1MB')
  t.match(text, 'max_file_store: 1000000')
  t.match(text, 'max_memory_store: 2000')
  t.match(text, 'store_dir: "/data/with \\"quotes\\" and \\\\"', 'paths are quoted')
  t.match(text, 'sync_interval: "2m"')
  t.notMatch(text, /cluster \{/)
  t.notMatch(text, '{{')
})

t.test('sync always', async (t) => {
  t.match(await renderConfig({ ...settings, sync: 'always' }), 'sync_interval: always')
})

t.test('a server of a cluster', async (t) => {
  const text = await renderConfig({ ...settings, cluster })
  t.match(text, 'server_name: "n1"')
  t.match(text, 'listen: "127.0.0.1:6222"')
  t.match(text, '"nats://127.0.0.1:6222", "nats://127.0.0.1:6223", "nats://127.0.0.1:6224"')
  t.notMatch(text, '{{')
})

t.test('nothing listens but on loopback', async (t) => {
  const text = await renderConfig({ ...settings, cluster })
  const addresses = [...text.matchAll(/^\s*(?:listen|http|https|host|net|port)\b.*$/gm)]
  t.equal(addresses.length, 3)
  for (const [line] of addresses) t.match(line, '"127.0.0.1:')
})
