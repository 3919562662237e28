import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { folderProfile } from '../../lib/client/index.node.ts'
import type { Account, DeviceId, UserId } from '../../lib/client/index.ts'
import { DEFAULT_SERVER, folderOf, type Globals, serverOf } from './device.ts'
import { Usage } from './failure.ts'
import { passwordFor } from './password.ts'
import { Interrupted, type Rim } from './rim.ts'

const rimOf = (more: Partial<Rim> = {}): Rim => ({
  env: {},
  home: '/home/ann',
  stdin: (async function* () {})(),
  interactive: false,
  out: async () => {},
  note: () => {},
  askHidden: async () => {
    throw new Interrupted()
  },
  signal: new AbortController().signal,
  ...more,
})
const globals = (more: Partial<Globals> = {}): Globals => ({
  ...{ profile: undefined, server: undefined, json: false },
  ...more,
})

t.test('profiles are folders side by side', async (t) => {
  t.equal(folderOf(globals(), rimOf()), '/home/ann/.parley/default')
  t.equal(
    folderOf(globals({ profile: 'work' }), rimOf({ env: { PARLEY_HOME: '/data' } })),
    '/data/work',
  )
  for (const profile of ['', '..', '.hidden', 'a/b', 'a b', 'x'.repeat(65), '../x']) {
    t.throws(() => folderOf(globals({ profile }), rimOf()), Usage, profile)
  }
})

t.test(
  'the server: as asked for, else of the environment, else of the login, else this machine',
  async (t) => {
    const home = await mkdtemp(join(tmpdir(), 'parley-device-'))
    t.teardown(() => rm(home, { recursive: true, force: true }))
    const env = { PARLEY_HOME: home }
    t.equal(await serverOf(globals(), rimOf({ env })), DEFAULT_SERVER)
    const account: Account = {
      ...{
        server: 'http://login:1',
        user: 'uann' as UserId,
        handle: 'ann',
        device: 'v1' as DeviceId,
      },
      ...{ access: 'a', accessUntil: 1, refresh: 'r' },
    }
    await folderProfile(join(home, 'default')).cache.saveAccount(account)
    t.equal(await serverOf(globals(), rimOf({ env })), 'http://login:1')
    const both = { ...env, PARLEY_SERVER: 'https://env:2' }
    t.equal(await serverOf(globals(), rimOf({ env: both })), 'https://env:2')
    t.equal(
      await serverOf(globals({ server: 'http://asked:3' }), rimOf({ env: both })),
      'http://asked:3',
    )
    for (const server of ['nonsense', 'ftp://x', 'localhost:8080', '']) {
      await t.rejects(serverOf(globals({ server }), rimOf()), Usage, server)
    }
  },
)

t.test('a password: given, of the environment, or typed unseen; a new one twice', async (t) => {
  const env = { PARLEY_PASSWORD: 'of the environment' }
  t.equal(await passwordFor('given', rimOf({ env }), true), 'given')
  t.equal(await passwordFor(undefined, rimOf({ env }), true), 'of the environment')
  await t.rejects(passwordFor(undefined, rimOf(), false), Usage, 'nobody can be asked')
  const typing = (...answers: string[]) =>
    rimOf({ interactive: true, askHidden: async () => answers.shift() ?? '' })
  t.equal(await passwordFor(undefined, typing('typed'), false), 'typed')
  t.equal(await passwordFor(undefined, typing('typed', 'typed'), true), 'typed')
  await t.rejects(passwordFor(undefined, typing('typed', 'tyqed'), true), Usage)
})
