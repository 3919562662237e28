import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openKeyring } from './keyring.ts'

const directory = async (t: Test) => {
  const path = await mkdtemp(join(tmpdir(), 'parley-keys-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

t.test('keys are made on first use, for the owner alone, and found again', async (t) => {
  const path = await directory(t)
  const made = await openKeyring(path)
  const file = join(path, 'tokens.json')
  t.equal((await stat(file)).mode & 0o777, 0o600)
  t.same(await readdir(path), ['tokens.json'], 'nothing is left lying about')
  const found = await openKeyring(path)
  t.equal(found.access[0]?.kid, made.access[0]?.kid)
  t.ok(found.access[0]?.public.equals(made.access[0]!.public))
  t.same(found.seal, made.seal)
})

t.test('processes that start at once agree on the keys', async (t) => {
  const path = await directory(t)
  const rings = await Promise.all(Array.from({ length: 8 }, () => openKeyring(path)))
  t.equal(new Set(rings.map((ring) => ring.access[0]?.kid)).size, 1)
  t.equal(new Set(rings.map((ring) => ring.seal[0]?.secret.toString('hex'))).size, 1)
  t.same(await readdir(path), ['tokens.json'])
})

t.test('keys that others may read are refused, with what to do', async (t) => {
  const path = await directory(t)
  await openKeyring(path)
  await chmod(join(path, 'tokens.json'), 0o644)
  await t.rejects(openKeyring(path), { code: 'unavailable', message: /chmod 600/ })
})

t.test('a damaged file is refused and left as it is', async (t) => {
  const path = await directory(t)
  await openKeyring(path)
  const file = join(path, 'tokens.json')
  const good = await readFile(file, 'utf8')
  const short = JSON.stringify({ ...JSON.parse(good), seal: [{ id: 1, secret: 'c2hvcnQ' }] })
  for (const text of ['', '{', '{}', 'null', good.slice(0, 40), short]) {
    await writeFile(file, text)
    await t.rejects(openKeyring(path), { code: 'unavailable', message: /damaged/ }, text)
    t.equal(await readFile(file, 'utf8'), text)
  }
})
