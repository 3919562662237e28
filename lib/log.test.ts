import t from 'tap'
import { createLog, type LogFormat, type LogLevel } from './log.ts'

const recording = (format: LogFormat, level: LogLevel = 'info') => {
  const lines: string[] = []
  const log = createLog({ level, format, destination: { write: (line) => lines.push(line) } })
  return { log, lines }
}

t.test('an event is one line of JSON with its name and fields', async (t) => {
  const { log, lines } = recording('json')
  log.info({ code: 4501, gateway: 'w1' }, 'session.closed')
  log.child({ stream: 3 }).warn({ err: new Error('two\nlines') }, 'projection.retry')
  t.equal(lines.length, 2)
  t.ok(lines.every((line) => line.indexOf('\n') === line.length - 1))
  const [first, second] = lines.map((line) => JSON.parse(line))
  t.match(first, { level: 'info', event: 'session.closed', code: 4501, gateway: 'w1' })
  t.ok(Math.abs(Date.parse(first.time) - Date.now()) < 60_000)
  t.match(second, { level: 'warn', event: 'projection.retry', stream: 3 })
  t.match(second.err, { type: 'Error', message: 'two\nlines', stack: String })
})

t.test('what is below the level is left out', async (t) => {
  const { log, lines } = recording('json', 'warn')
  log.debug({}, 'a.debug')
  log.info({}, 'a.info')
  log.warn({}, 'a.warn')
  log.error({}, 'an.error')
  t.same(
    lines.map((line) => JSON.parse(line).event),
    ['a.warn', 'an.error'],
  )
})

t.test('credentials do not come out', async (t) => {
  const { log, lines } = recording('json')
  log.info({ token: 'hush', user: { password: 'hush', handle: 'ann' } }, 'user.login')
  t.notOk(lines[0]?.includes('hush'))
  t.ok(lines[0]?.includes('ann'))
})

t.test('text for people: one line, names first', async (t) => {
  const { log, lines } = recording('text')
  log.error({ room: 'd1', err: new Error('no "disk"\nleft'), note: 'two words' }, 'store.failed')
  t.match(
    lines[0],
    /^\d\d:\d\d:\d\d\.\d{3} error store\.failed room=d1 err="no \\"disk\\"\\nleft" note="two words"\n$/,
  )
})
