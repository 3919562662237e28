import { spawn } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { newDeviceId, newUserId } from '../../../ids.ts'
import { CONTRACT_LIMITS, directoryContract } from '../../directory/contract.ts'
import type { NewAccount } from '../../directory/directory.ts'
import { openTestDirectory, testFolder } from './fixture.ts'
import { lockDirectory } from './lock.ts'
import { openPgliteDirectory } from './pglite-directory.ts'

const NOW = 1_800_000_000_000

const account = (handle: string): NewAccount => ({
  user: newUserId(),
  handle,
  name: handle,
  passwordHash: 'secret hash',
  device: {
    device: newDeviceId(),
    name: 'phone',
    refresh: { n: 1, hash: new Uint8Array(32), expires: NOW + 1000 },
  },
})

t.test('the contract', async (t) => {
  const { store, dispose } = await openTestDirectory(CONTRACT_LIMITS)
  t.teardown(dispose)
  await directoryContract(t, store)
})

t.test('a directory is open once; after close it opens again with what was stored', async (t) => {
  const { store, folder, dispose } = await openTestDirectory()
  t.teardown(dispose)
  const ann = account('ann')
  await store.register(ann, NOW)
  await t.rejects(openPgliteDirectory({ directory: folder }), {
    code: 'unavailable',
    message: /in use by another process/,
  })
  t.match(await store.profileOf('ann'), { user: ann.user }, 'the first one goes on')

  // The same ids again, which nobody makes, break a constraint.
  const error = await store.register({ ...ann, handle: 'other' }, NOW).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  t.match(error, { code: 'internal', cause: /duplicate key/ })
  const told = [(error as Error).message, (error as Error).cause]
  t.notMatch(JSON.stringify(told), /secret hash/, 'an error tells nothing of what was asked')

  await Promise.all([store.close(), store.close()])
  await t.rejects(store.profileOf('ann'), { code: 'unavailable' })
  const again = await openPgliteDirectory({ directory: folder })
  t.match(await again.profileOf('ann'), { user: ann.user })
  t.match(await again.pending(10), [{ user: ann.user, version: 1 }])
  await again.close()
})

t.test('an unfinished first start is begun again', async (t) => {
  const folder = await testFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await mkdir(join(folder, 'data.unfinished', 'base'), { recursive: true })
  await writeFile(join(folder, 'data.unfinished', 'PG_VERSION'), '18\n')
  await rm(join(folder, 'data'), { recursive: true })
  const store = await openPgliteDirectory({ directory: folder })
  t.match(await store.register(account('ann'), NOW), { generation: 1 })
  await store.close()
})

t.test('a directory that is damaged is refused, and its lock given back', async (t) => {
  const folder = await testFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await rm(join(folder, 'data'), { recursive: true })
  await writeFile(join(folder, 'data'), 'not a database')
  await t.rejects(openPgliteDirectory({ directory: folder }), {
    code: 'unavailable',
    message: /cannot be opened/,
  })
  const release = await lockDirectory(folder)
  await release()
})

t.test('what was confirmed survives kill -9 in the middle of writing', async (t) => {
  const folder = await testFolder()
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const module = fileURLToPath(new URL('./pglite-directory.ts', import.meta.url))
  const script = `
    import { openPgliteDirectory } from ${JSON.stringify(module)}
    const store = await openPgliteDirectory({ directory: ${JSON.stringify(folder)} })
    for (let i = 0; ; i++) {
      const refresh = { n: 1, hash: new Uint8Array(32), expires: 0 }
      const device = { device: 'v' + i, name: '', refresh }
      const account = { user: 'u' + i, handle: 'h' + i, name: '', passwordHash: '', device }
      await store.register(account, 1)
      console.log(i)
    }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let confirmed = -1
  for await (const line of createInterface({ input: child.stdout })) {
    confirmed = Number(line)
    // What is still in the pipe counts as well: the loop ends with it.
    if (confirmed === 50) child.kill('SIGKILL')
  }
  t.ok(confirmed >= 50)
  const store = await openPgliteDirectory({ directory: folder })
  t.teardown(() => store.close())
  const missing: number[] = []
  for (let i = 0; i <= confirmed; i++) {
    if ((await store.profileOf(`h${i}`)) === undefined) missing.push(i)
  }
  t.same(missing, [])
  t.match(await store.register(account('after'), NOW), { generation: 1 })
})
