/** Finds or fetches the nats-server that the tests use, once and before they run side by side. */
import { cacheDir } from '../../nats/cache-dir.ts'
import { findServer } from '../../nats/find.ts'

const { path, version, by } = await findServer({
  path: process.env.PATH ?? '',
  cacheDir: cacheDir(),
  say: (line) => process.stderr.write(`${line}\n`),
})
process.stderr.write(`nats-server ${version} (${by}): ${path}\n`)
