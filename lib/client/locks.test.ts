import t from 'tap'
import { type Locks, soleLocks, webLocks } from './locks.ts'

const contract = (name: string, open: () => { one: Locks; other: Locks }): void => {
  t.test(`${name}: one holder at a time, and the next one gets it`, async (t) => {
    const { one, other } = open()
    const held = await one.tryAcquire('outbox')
    t.ok(held)
    t.equal(await other.tryAcquire('outbox'), undefined)
    const tokens = await other.tryAcquire('tokens')
    t.ok(tokens, 'another lock')
    const order: string[] = []
    const waiting = other.acquire('outbox', new AbortController().signal).then((release) => {
      order.push('acquired')
      return release
    })
    await new Promise((resolve) => setImmediate(resolve))
    order.push('released')
    await held?.()
    await held?.()
    const next = await waiting
    t.strictSame(order, ['released', 'acquired'])
    t.equal(await one.tryAcquire('outbox'), undefined)
    await next()
    await tokens?.()
    const last = await one.tryAcquire('outbox')
    t.ok(last)
    await last?.()
  })

  t.test(`${name}: waiting ends with its signal`, async (t) => {
    const { one, other } = open()
    const held = await one.tryAcquire('outbox')
    const stop = new AbortController()
    const waiting = other.acquire('outbox', stop.signal)
    stop.abort(new Error('enough'))
    await t.rejects(waiting, { message: 'enough' })
    await t.rejects(other.acquire('outbox', stop.signal), { message: 'enough' })
    await held?.()
    const free = await other.tryAcquire('outbox')
    t.ok(free, 'the wait that ended took nothing')
    await free?.()
  })
}

contract('sole locks', () => {
  const locks = soleLocks()
  return { one: locks, other: locks }
})

// The platform's own locks are shared by all tests of a process: a profile each.
let profile = 0
contract('web locks', () => {
  profile++
  return { one: webLocks(`p${profile}`), other: webLocks(`p${profile}`) }
})

t.test('web locks: profiles do not meet', async (t) => {
  const one = await webLocks('a').tryAcquire('outbox')
  const other = await webLocks('b').tryAcquire('outbox')
  t.ok(one)
  t.ok(other)
  await one?.()
  await other?.()
})
