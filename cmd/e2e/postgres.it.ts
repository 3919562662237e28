/** `parley up` with its accounts on a PostgreSQL that comes, goes away and comes back. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../../lib/testing/eventually.ts'
import { skipWithout } from '../../lib/testing/servers/availability.ts'
import { startPostgres } from '../../lib/testing/servers/postgres.ts'
import { findPostgres } from '../../lib/testing/servers/postgres-binaries.ts'
import { Chat, within } from './chat.ts'
import { Server } from './server.ts'

t.setTimeout(600_000)

const skip = await skipWithout('PostgreSQL', findPostgres)
const LONG = { within: 60_000 }
const END_MS = 60_000

t.test(
  'people register, write and log in again; accounts are in PostgreSQL alone',
  { skip },
  async (t) => {
    const postgres = await startPostgres(t)
    const url = await postgres.database()
    const server = await Server.start(['--postgres-url', url])
    t.teardown(() => server.end())
    const chat = await Chat.open(server.api, 'cursor')
    t.teardown(() => chat.end())
    for (const name of ['ann', 'bob']) await chat.enter('register', name, name, `${name} is here`)
    await chat.lines(['--profile', 'ann', 'send', '@bob', 'Hello, Bob'])
    const history = ['history', '@ann', '--limit', '10']
    t.match((await chat.lines(['--profile', 'bob', ...history])).join('\n'), /Hello, Bob/)
    t.same(await postgres.sql('select handle from users order by handle', url), [
      { handle: 'ann' },
      { handle: 'bob' },
    ])
    t.notOk(existsSync(join(server.data, 'directory')), 'nothing is made for the embedded one')

    await server.stop()
    await server.start()
    await chat.enter('login', 'bob-desk', 'bob', 'bob is here')
    t.match((await chat.lines(['--profile', 'bob-desk', ...history])).join('\n'), /Hello, Bob/)

    // PostgreSQL goes away under an open conversation.
    const pipe = chat.start('--profile', 'ann', '--json', 'send', '@bob', '-')
    let acked = 0
    pipe.onLine(() => acked++)
    const says = async (text: string) => {
      const before = acked
      pipe.stdin.write(`${text}\n`)
      await eventually(`“${text}” is acked`, () => acked > before, LONG)
    }
    await says('before')
    await postgres.stop()
    for (let n = 0; n < 5; n++) await says(`meanwhile ${n}`)
    const ask = (path: string, body: object) =>
      fetch(server.api + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        // Longer than the second that it may take, far shorter than any other timeout.
        signal: AbortSignal.timeout(3_000),
      })
    const bob = { handle: 'bob', password: 'bob is here' }
    for (let n = 0; n < 3; n++) {
      const login = await ask('/v1/login', bob)
      t.equal(login.status, 503)
      t.match(await login.json(), { error: 'unavailable', retryAfterMs: Number })
    }
    const ready = await fetch(`${server.api}/ready`)
    t.equal(ready.status, 503)
    t.match(await ready.json(), { message: 'the directory does not answer' })
    await says('still there')
    await postgres.start()
    await eventually('logins are taken again', async () => (await ask('/v1/login', bob)).ok, LONG)
    await says('and after')
    pipe.stdin.end()
    t.match(await within(pipe, END_MS, 'send -'), { code: 0 })
    t.equal((await fetch(`${server.api}/ready`)).status, 200)
  },
)

t.test(
  'what is wrong with the settings is said at once; what may mend is waited for',
  { skip },
  async (t) => {
    const postgres = await startPostgres(t)
    const url = await postgres.database()
    const wrong = new URL(url)
    wrong.password = 'wrong'
    const badly = await Server.prepare(['--postgres-url', wrong.href])
    t.teardown(() => badly.end())
    const child = badly.second()
    t.match(await within(child, END_MS, 'parley up'), { code: 1 })
    t.match(child.tail, /PostgreSQL does not let parley in: see that --postgres-url/)
    t.notMatch(child.tail, /:wrong/)

    await postgres.stop()
    const early = await Server.prepare(['--postgres-url', url])
    t.teardown(() => early.end())
    const waits = early.second()
    await eventually('it waits', () => /directory\.awaited/.test(waits.tail), LONG)
    // Sockets are served before, whatever the directory takes.
    await eventually(
      'the gateway listens',
      () => fetch(early.gateway.replace('ws:', 'http:')),
      LONG,
    )
    t.match(await waits.end(), { code: 0 }, 'it can be told to stop while it waits')

    const starting = early.start()
    await postgres.start()
    await starting
    t.ok(early.isAlive)
  },
)
