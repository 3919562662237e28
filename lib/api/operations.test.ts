import t from 'tap'
import { systemClock } from '../clock.ts'
import { createLog } from '../log.ts'
import { Operations } from './operations.ts'

const log = createLog({ level: 'error', format: 'json', destination: { write: () => {} } })

const started = async (unready: () => Promise<string | undefined>) => {
  const metrics = { contentType: 'text/plain; version=0.0.4', text: async () => 'up 1\n' }
  const parts = { host: '127.0.0.1', port: 0, unready, metrics, log, clock: systemClock }
  const operations = new Operations(parts)
  await operations.start(AbortSignal.timeout(5000))
  const ask = async (path: string) => {
    const answer = await fetch(operations.url + path)
    return { status: answer.status, headers: answer.headers, text: await answer.text() }
  }
  return { parts, operations, ask }
}

t.test('health, readiness with its reason, metrics, and nothing else', async (t) => {
  let why: string | undefined = 'it is draining'
  const { operations, ask } = await started(async () => why)
  t.match(await ask('/health'), { status: 200 })
  const unready = await ask('/ready')
  t.equal(unready.status, 503)
  t.equal(unready.headers.get('retry-after'), '1')
  t.match(JSON.parse(unready.text), { error: 'unavailable', message: 'it is draining' })
  why = undefined
  t.match(await ask('/ready'), { status: 200 })
  const metrics = await ask('/metrics')
  t.equal(metrics.text, 'up 1\n')
  t.equal(metrics.headers.get('content-type'), 'text/plain; version=0.0.4')
  const other = await ask('/v1/gateway')
  t.equal(other.status, 404)
  t.match(JSON.parse(other.text), { error: 'not_found' })
  await operations.drain(systemClock.monotonic() + 1000)
  await t.rejects(ask('/health'))
})

t.test('what fails or does not answer is not ready', async (t) => {
  let asked = () => Promise.reject(new Error('secret'))
  const { operations, ask } = await started(() => asked())
  const failed = await ask('/ready')
  t.equal(failed.status, 503)
  t.notMatch(failed.text, /secret/)
  asked = () => new Promise<never>(() => {})
  t.match(await ask('/ready'), { status: 503, text: /does not answer/ })
  await operations.drain(0)
})

t.test('a port that is taken is refused, with the reason', async (t) => {
  const { parts, operations } = await started(async () => undefined)
  const port = Number(new URL(operations.url).port)
  const second = new Operations({ ...parts, port })
  await t.rejects(second.start(AbortSignal.timeout(5000)), {
    code: 'unavailable',
    message: `127.0.0.1:${port} is taken`,
  })
  await operations.drain(0)
})
