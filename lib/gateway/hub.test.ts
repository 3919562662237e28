import t from 'tap'
import { Hub } from './hub.ts'
import type { Socket } from './session.ts'

const socket: Socket = { send: () => 1, end: () => {}, getBufferedAmount: () => 0 }

t.test('R1 a handle is never inherited by the next session in its slot', async (t) => {
  const hub = new Hub(10, 1000)
  const handles = new Set<number>()
  for (let i = 0; i < 1000; i++) {
    const session = hub.open(socket, 'a', 0)
    t.equal(hub.get(session.handle), session)
    if (handles.has(session.handle)) t.fail('the same handle twice')
    for (const old of [...handles].slice(-5)) if (hub.get(old) !== undefined) t.fail('an old one')
    handles.add(session.handle)
    hub.remove(session)
    t.equal(hub.get(session.handle), undefined)
  }
  t.equal(hub.slots, 1, 'slots are used again')
  t.equal(hub.count, 0)
})

t.test('handles that never were lead nowhere', async (t) => {
  const hub = new Hub(10, 1000)
  const { handle } = hub.open(socket, 'a', 0)
  for (const wrong of [0, 1, handle + 1, handle + 2 ** 20, 2 ** 52, 2 ** 40]) {
    t.equal(hub.get(wrong), undefined, String(wrong))
  }
})

t.test('full at its most, and removing twice counts once', async (t) => {
  const hub = new Hub(2, 1000)
  const one = hub.open(socket, 'a', 0)
  hub.open(socket, 'a', 0)
  t.ok(hub.full)
  hub.remove(one)
  hub.remove(one)
  t.equal(hub.count, 1)
  t.notOk(hub.full)
})
