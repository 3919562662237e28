import fc from 'fast-check'
import t from 'tap'
import { Hub } from './hub.ts'
import { NONE, Pending, SLOTS } from './pending.ts'
import type { Session } from './session.ts'

const open = (): Session =>
  new Hub(10, 1000).open({ send: () => 1, end: () => {}, getBufferedAmount: () => 0 }, 'a', 0)

const slotsOf = (pending: Pending, p: number): number[] => {
  const slots = []
  for (let slot = pending.head(p); slot !== NONE; slot = pending.next[slot]!) slots.push(slot)
  return slots
}

t.test('O4 a partition keeps the order of coming, whatever is answered meanwhile', async () => {
  const step = fc.oneof(
    fc.record({ add: fc.nat(2), length: fc.oneof(fc.nat(300), fc.constantFrom(0, 256, 257)) }),
    fc.record({ remove: fc.nat() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const pending = new Pending(3)
      const session = open()
      let model: { p: number; slot: number; token: number; frame: Uint8Array }[] = []
      const tokens = new Set<number>()
      for (const [i, doing] of steps.entries()) {
        if ('add' in doing) {
          const frame = new Uint8Array(doing.length).fill(i)
          const slot = pending.add(session, doing.add, 0, 0, i, frame, i)
          const token = pending.token[slot]!
          if (tokens.has(token)) throw new Error('a token twice')
          tokens.add(token)
          model.push({ p: doing.add, slot, token, frame: frame.slice() })
          frame.fill(255)
        } else if (model.length > 0) {
          const gone = model[doing.remove % model.length]!
          if (pending.find(gone.token) !== gone.slot) throw new Error('not found')
          pending.remove(gone.slot)
          if (pending.find(gone.token) !== NONE) throw new Error('found after its end')
          model = model.filter((one) => one !== gone)
        }
      }
      for (const p of [0, 1, 2]) {
        const expected = model.filter((one) => one.p === p)
        const found = slotsOf(pending, p)
        if (found.join() !== expected.map(({ slot }) => slot).join()) throw new Error('order')
        if (pending.countOf(p) !== expected.length) throw new Error('count')
      }
      for (const { slot, frame } of model) {
        if (Buffer.compare(pending.frame(slot), frame) !== 0) throw new Error('bytes')
      }
      const bytes = model.reduce((sum, { frame }) => sum + frame.length, 0)
      return (
        pending.count === model.length &&
        pending.bytes === bytes &&
        session.inFlight === model.length
      )
    }),
  )
})

t.test('all slots taken: no more until one is free', async (t) => {
  const pending = new Pending(1)
  const session = open()
  const frame = new Uint8Array(4)
  let slot = NONE
  for (let i = 0; i < SLOTS; i++) slot = pending.add(session, 0, 0, 0, 0, frame, 0)
  t.not(slot, NONE)
  t.equal(pending.add(session, 0, 0, 0, 0, frame, 0), NONE)
  const token = pending.token[slot]!
  pending.remove(slot)
  t.equal(pending.add(session, 0, 0, 0, 0, frame, 0), slot)
  t.not(pending.token[slot], token)
  t.equal(pending.find(token), NONE, 'the reply to the earlier use finds nothing')
})
