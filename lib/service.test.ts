import t from 'tap'
import { systemClock } from './clock.ts'
import { createLog } from './log.ts'
import { type Service, serviceGroup } from './service.ts'

const lines: string[] = []
const log = createLog({
  level: 'debug',
  format: 'json',
  destination: { write: (line) => lines.push(line) },
})
const group = (...services: Service[]) =>
  serviceGroup(services, { name: 'all', log, clock: systemClock })
const soon = () => systemClock.monotonic() + 10_000

/** Services that write down what happens to them. */
const diary = () => {
  const said: string[] = []
  const make = (name: string, does: Partial<Pick<Service, 'start' | 'drain'>> = {}): Service => ({
    name,
    start: async (signal) => {
      await does.start?.(signal)
      said.push(`+${name}`)
    },
    drain: async (deadline) => {
      said.push(`-${name}`)
      await does.drain?.(deadline)
    },
  })
  return { said, make }
}

t.test('starts in order, each when the one before it serves, and drains in reverse', async (t) => {
  const { said, make } = diary()
  const gate = Promise.withResolvers<void>()
  const all = group(make('a', { start: () => gate.promise }), make('b'), make('c'))
  const started = all.start(new AbortController().signal)
  t.same(said, [])
  gate.resolve()
  await started
  t.same(said, ['+a', '+b', '+c'])
  await all.drain(soon())
  t.same(said.slice(3), ['-c', '-b', '-a'])
})

t.test('a failed start drains what was started and says why', async (t) => {
  const { said, make } = diary()
  const fail = make('c', { start: () => Promise.reject(new Error('port in use')) })
  const all = group(make('a'), make('b'), fail, make('d'))
  await t.rejects(all.start(new AbortController().signal), { message: 'port in use' })
  t.same(said, ['+a', '+b', '-b', '-a'])
  await all.drain(soon())
  t.equal(said.length, 4, 'nothing is drained twice')
})

t.test('an abort between two starts stops there', async (t) => {
  const { said, make } = diary()
  const stop = new AbortController()
  const a = make('a', { start: async () => stop.abort(new Error('interrupted')) })
  await t.rejects(group(a, make('b')).start(stop.signal), { message: 'interrupted' })
  t.same(said, ['+a', '-a'])
})

t.test('one that fails to drain does not keep the others from it', async (t) => {
  const { said, make } = diary()
  const bad = make('b', { drain: () => Promise.reject(new Error('disk full')) })
  const all = group(make('a'), bad, make('c'))
  await all.start(new AbortController().signal)
  const failure = await all.drain(soon()).then(
    () => undefined,
    (error: AggregateError) => error,
  )
  t.equal(failure?.errors[0].message, 'disk full')
  t.same(said.slice(3), ['-c', '-b', '-a'])
  const told = lines.map((line) => JSON.parse(line)).find((line) => line.level === 'error')
  t.match(told, { event: 'service.drain_failed', service: 'b', err: { message: 'disk full' } })
})

t.test('one that never drains is left behind at the deadline', async (t) => {
  const { said, make } = diary()
  const hangs = make('b', { drain: () => new Promise(() => undefined) })
  const all = group(make('a'), hangs)
  await all.start(new AbortController().signal)
  await t.rejects(all.drain(systemClock.monotonic()), {
    errors: [{ message: 'b did not drain in time' }],
  })
  t.same(said.slice(2), ['-b', '-a'], 'those below still get to let go')
})
