import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { findJava } from './cassandra-java.ts'

/** A folder of Javas that say which version they are. */
const homes = (dir: string, versions: readonly string[]): string[] =>
  versions.map((_, n) => {
    chmodSync(join(dir, String(n), 'bin', 'java'), 0o755)
    return join(dir, String(n))
  })
const says = (version: string) => ({
  bin: { java: `#!/bin/sh\necho 'openjdk version "${version}" 2026-01-01' >&2\n` },
})

t.test('the first of major version 17, wherever it is', async (t) => {
  const versions = ['21.0.1', '1.8.0_392', '17.0.15', '17.0.1']
  const dir = t.testdir(Object.fromEntries(versions.map((version, n) => [n, says(version)])))
  const [newer, older, right, other] = homes(dir, versions)
  const none = join(dir, 'none')
  const found = await findJava({
    javaHome: newer,
    path: `/none:${join(older!, 'bin')}`,
    homes: dir,
  })
  t.match(found, { path: join(right!, 'bin', 'java'), version: '17.0.15' })
  t.match(await findJava({ javaHome: other, path: '', homes: dir }), { version: '17.0.1' })
  await t.rejects(findJava({ javaHome: newer, path: join(older!, 'bin'), homes: none }), {
    message:
      /0\/bin\/java is Java 21\.0\.1, .*1\/bin\/java is Java 1\.8\.0_392; install OpenJDK 17/,
  })
  await t.rejects(findJava({ javaHome: '', path: '', homes: none }), {
    message: /there is none; install/,
  })
})
