import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { withoutPassword } from './config.ts'

t.test('a printed URL has no password', (t) => {
  for (const [value, printed] of [
    ['postgresql://ann:secret@h:1/d', 'postgresql://ann:***@h:1/d'],
    ['postgresql://ann:sec/ret:@h/d', 'postgresql://ann:***@h/d'],
    ['postgresql://ann@h:1/d', 'postgresql://ann@h:1/d'],
    ['nats://10.0.0.1:4222', 'nats://10.0.0.1:4222'],
    ['', ''],
    [7, 7],
  ] as const) {
    t.equal(withoutPassword(value), printed)
  }
  t.end()
})

t.test('`parley config` prints every setting, and no password', (t) => {
  const entry = fileURLToPath(new URL('./parley.ts', import.meta.url))
  const env = { ...process.env, PARLEY_POSTGRES_URL: 'postgresql://ann:secret@h/d' }
  for (const more of [[], ['--json']]) {
    const printed = execFileSync(process.execPath, [entry, 'config', ...more], {
      env,
      encoding: 'utf8',
    })
    t.match(printed, /postgresql:\/\/ann:\*\*\*@h\/d/)
    t.notMatch(printed, /secret/)
  }
  t.end()
})
