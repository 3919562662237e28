import fc from 'fast-check'
import t from 'tap'
import type { RoomId, UserId } from '../ids.ts'
import { type Entry, firstOf, lastOf } from './events.ts'
import { denseFrom, Shelf } from './shelf.ts'

const room = 'groom-of-two' as RoomId
const sender = 'uann' as UserId
const message = (seq: number): Entry => ({
  kind: 'message',
  room,
  seq,
  ord: seq,
  id: '1',
  time: 1,
  sender,
  text: 'x',
})
const hidden = (first: number, last: number): Entry => ({ room, kind: 'hidden', first, last })

t.test('keeps entries in order, each once', async (t) => {
  const shelf = new Shelf(100)
  t.equal(shelf.add([message(3), message(1), hidden(4, 9)]).length, 3)
  t.equal(shelf.add([message(3), message(5), hidden(9, 12), message(2)]).length, 1)
  t.strictSame(shelf.all().map(firstOf), [1, 2, 3, 4])
  t.strictSame(shelf.range(2, 3).map(firstOf), [2, 3])
  t.strictSame(shelf.range(6, 20).map(firstOf), [4], 'what reaches into the range')
  t.strictSame(shelf.range(10, 20), [])
})

t.test('the oldest go when there are too many', async (t) => {
  const shelf = new Shelf(8)
  for (let seq = 1; seq <= 9; seq++) shelf.add([message(seq)])
  t.strictSame(shelf.all().map(firstOf), [4, 5, 6, 7, 8, 9])
})

t.test('however they are added, they are sorted and don’t overlap', async () => {
  const entry = fc
    .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 4 }))
    .map(([first, more]) => (more === 0 ? message(first) : hidden(first, first + more)))
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 60 }), (entries) => {
      const shelf = new Shelf(1_000)
      for (const one of entries) shelf.add([one])
      let last = 0
      for (const one of shelf.all()) {
        if (firstOf(one) <= last) throw new Error(`${firstOf(one)} after ${last}`)
        last = lastOf(one)
      }
    }),
  )
})

t.test('a dense run ends at the first hole', async (t) => {
  const entries = [hidden(2, 4), message(5), message(7)]
  t.strictSame(denseFrom(entries, 3), { entries: entries.slice(0, 2), next: 6 })
  t.strictSame(denseFrom(entries, 1), { entries: [], next: 1 })
})
