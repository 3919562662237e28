/** What a script may rely on when something is wrong; of ann and bob, who chatted (chatting.ts). */
import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { type Chat, within } from '../chat.ts'
import { Child, cleanEnv } from '../child.ts'
import type { Server } from '../server.ts'
import { as, SOON_MS, texts } from './lines.ts'

const ROOT = resolve(import.meta.dirname, '../../..')

export const refusals = (t: Test, server: Server, chat: Chat): void => {
  t.test('what is not to be sent is refused, and what was sent before it stays', async (t) => {
    const child = chat.start(...as('ann', 'send', '@bob', '-'))
    child.stdin.end(Buffer.concat([Buffer.from('good line\n'), Buffer.from([0x62, 0xff, 0x0a])]))
    t.match(await within(child, SOON_MS, 'send of no UTF-8'), { code: 2 })
    t.match(child.tail, /not valid UTF-8/)
    const long = await chat.run(as('ann', 'send', '@bob', '-'), `short\n${'x'.repeat(9_000)}\n`)
    t.equal(long.code, 5)
    t.match(long.tail, /Message 2: .*8192 bytes/)
    const last = texts(await chat.lines(as('bob', '--json', 'history', '@ann', '--limit', '2')))
    t.equal(last.at(-1), 'short')
  })

  t.test('exit codes tell scripts what went wrong', async (t) => {
    const cases: readonly [string, number, RegExp, readonly string[]][] = [
      [
        'a wrong password',
        4,
        /Handle or password is wrong/,
        as('x', 'login', 'ann', '--password', 'nonono'),
      ],
      ['nobody logged in', 4, /parley login HANDLE/, as('nobody', 'rooms')],
      [
        'a handle that is taken',
        5,
        /@ann is taken/,
        as('x', 'register', 'ann', '--password', 'long enough'),
      ],
      ['a user who is not there', 5, /parley: /, as('ann', 'send', '@nobody', 'hi')],
      ['a room of others', 5, /not a member/, as('ann', 'history', 'gNobodysRoomNobodys000')],
      ['no such room name', 2, /No room is named/, as('ann', 'history', 'Nowhere')],
      ['no password', 2, /PARLEY_PASSWORD/, as('x', 'register', 'new')],
      ['no such option', 2, /unknown option/, as('ann', 'rooms', '--colour')],
      ['no number', 2, /whole number from 1/, as('ann', 'history', '@bob', '--limit', '10; DROP')],
      ['a missing argument', 2, /missing required argument/, as('ann', 'send')],
      ['a profile that is a path', 2, /A profile is/, as('../ann', 'rooms')],
      ['no server', 3, /cannot reach/i, as('ann', 'rooms', '--server', 'http://127.0.0.1:1')],
    ]
    for (const [what, code, said, args] of cases) {
      const answer = await chat.run(args)
      t.equal(answer.code, code, what)
      t.match(answer.tail, said, what)
      t.same(answer.lines, [], 'nothing on standard output')
    }
  })

  t.test('`npx parley`, `node cmd/parley.mjs`, and a reader that goes away', async (t) => {
    const env = { ...cleanEnv(), PARLEY_HOME: chat.home, PARLEY_SERVER: server.api }
    const options = { cwd: ROOT, env, timeout: 240_000 }
    const run = promisify(execFile)
    const npx = await run(
      'npx',
      ['parley', ...as('bob', 'history', '@ann', '--limit', '1')],
      options,
    )
    t.match(npx.stdout, /^\d\d:\d\d:\d\d ann: /)
    const entry = `${ROOT}/cmd/parley.mjs`
    const head = new Child(
      'sh',
      ['-c', 'node "$0" --profile bob history @ann --limit 300 | head -n 2', entry],
      {
        ...{ PARLEY_HOME: chat.home, PARLEY_SERVER: server.api },
      },
    )
    const lines: string[] = []
    head.onLine((line) => lines.push(line))
    t.match(await within(head, SOON_MS, 'head'), { code: 0 })
    t.equal(lines.length, 2)
    t.notMatch(head.tail, /EPIPE|Error/)
  })
}
