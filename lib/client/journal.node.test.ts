import { appendFile, chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Journal } from './journal.node.ts'

const folder = async (test: Pick<Test, 'teardown'>): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'parley-journal-'))
  test.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

t.test('appends are read back in their order', async (t) => {
  const path = join(await folder(t), 'deep', 'a.jsonl')
  const journal = new Journal(path)
  t.strictSame(await journal.read(true), [], 'no file yet')
  await Promise.all([journal.append(['1', '2']), journal.append(['3']), journal.append([])])
  t.equal(journal.lines, 3)
  t.strictSame(await new Journal(path).read(false), ['1', '2', '3'])
  t.equal((await stat(path)).mode & 0o777, 0o600, 'for its owner alone')
})

t.test('a line that a crash cut off is dropped, at every byte of it', async (t) => {
  const path = join(await folder(t), 'a.jsonl')
  await new Journal(path).append(['first', 'zweite: ü👋'])
  const whole = await readFile(path)
  const start = 'first\n'.length
  for (let length = start; length < whole.length; length++) {
    await writeFile(path, whole.subarray(0, length))
    const journal = new Journal(path)
    t.strictSame(await journal.read(true), ['first'], `${length} bytes`)
    await journal.append(['next'])
    t.strictSame(await new Journal(path).read(false), ['first', 'next'], `${length} bytes`)
  }
})

t.test('reading without repair leaves the file to its writer', async (t) => {
  const path = join(await folder(t), 'a.jsonl')
  await writeFile(path, 'first\nhalf')
  t.strictSame(await new Journal(path).read(false), ['first'])
  await appendFile(path, ' more\n')
  t.strictSame(await new Journal(path).read(false), ['first', 'half more'])
})

t.test('a rewrite takes the place of what was given before, not of what comes after', async (t) => {
  const path = join(await folder(t), 'a.jsonl')
  const journal = new Journal(path)
  const all = [
    journal.append(['1']),
    journal.append(['2']),
    journal.rewrite(['one and two']),
    journal.append(['3']),
  ]
  await Promise.all(all)
  t.strictSame(await new Journal(path).read(false), ['one and two', '3'])
  t.equal(journal.lines, 2)
})

t.test('a write that fails is told, and the next one starts a line of its own', async (t) => {
  const place = await folder(t)
  const path = join(place, 'a.jsonl')
  const journal = new Journal(path)
  await journal.append(['1'])
  const blocked = new Journal(join(place, 'a.jsonl', 'below-a-file'))
  await t.rejects(blocked.append(['x']))
  await t.rejects(blocked.append(['y']), 'it goes on failing, one by one')
  if (process.getuid?.() === 0) return
  await chmod(path, 0o400)
  await t.rejects(journal.append(['2']))
  await chmod(path, 0o600)
  await journal.append(['3'])
  t.strictSame(await new Journal(path).read(false), ['1', '', '3'])
})
