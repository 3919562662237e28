import fc from 'fast-check'
import t from 'tap'
import type { RoomId, UserId } from '../ids.ts'
import { type Entry, firstOf, lastOf } from './events.ts'
import { type OwnMessage, Timeline } from './timeline.ts'

const room = 'groom-of-two' as RoomId
const own = (seq: number): OwnMessage => ({
  kind: 'message',
  room,
  seq,
  id: `${seq}`,
  time: seq,
  sender: 'uann' as UserId,
  text: `t${seq}`,
})
const message = (seq: number, ord = seq): Entry => ({ ...own(seq), ord })
const hidden = (first: number, last: number): Entry => ({ room, kind: 'hidden', first, last })
const seqs = (entries: readonly Entry[]) => entries.map(firstOf)

t.test('releases what is next, keeps what is ahead, drops what was there', async (t) => {
  const timeline = new Timeline({ seq: 3, ord: 3 })
  t.strictSame(seqs(timeline.offer(message(3))), [])
  t.strictSame(seqs(timeline.offer(message(6))), [])
  t.strictSame(seqs(timeline.offer(message(5))), [])
  t.strictSame(timeline.hole(), { first: 4, last: 4 })
  t.strictSame(seqs(timeline.offer(message(4))), [4, 5, 6])
  t.strictSame(seqs(timeline.offer(message(5))), [])
  t.ok(timeline.complete)
  t.equal(timeline.hole(), undefined)
})

t.test('a head that nothing came of is a hole', async (t) => {
  const timeline = new Timeline({ seq: 3, ord: 3 })
  timeline.raise(9)
  t.strictSame(timeline.hole(), { first: 4, last: 9 })
  timeline.offer(message(7))
  t.strictSame(timeline.hole(), { first: 4, last: 6 })
})

t.test('hidden runs close holes, also when they overlap what was released', async (t) => {
  const timeline = new Timeline({ seq: 3, ord: 3 })
  timeline.offer(message(8))
  t.strictSame(seqs(timeline.offer(hidden(2, 7))), [2, 8])
  t.equal(timeline.position.seq, 8)
})

t.test('a message of our own gets the ord that follows from what is before it', async (t) => {
  const timeline = new Timeline({ seq: 3, ord: 2 })
  t.match(timeline.offerOwn(own(4)), [{ seq: 4, ord: 3 }])
  t.strictSame(timeline.offerOwn(own(6)), [])
  t.match(timeline.offer(message(5, 3)), [{ ord: 3 }, { seq: 6, ord: 4 }])
})

t.test('without a known ord before it, our own message has to be fetched', async (t) => {
  const timeline = new Timeline({ seq: 3, ord: undefined })
  t.strictSame(timeline.offerOwn(own(4)), [])
  t.strictSame(timeline.hole(), { first: 4, last: 4 })
  t.match(timeline.offer(message(4, 9)), [{ seq: 4, ord: 9 }])
})

t.test('what waits ahead of a hole is bounded', async (t) => {
  const timeline = new Timeline({ seq: 0, ord: 0 })
  for (let seq = 2; seq <= 2_000; seq++) timeline.offer(message(seq))
  const released = timeline.offer(message(1))
  t.equal(released.length, 512)
  t.strictSame(timeline.hole(), { first: 513, last: 2_000 })
})

t.test('whatever is lost, doubled or late: each once, in order, without a hole', async () => {
  const entries: Entry[] = []
  for (let seq = 1; seq <= 40; seq++) {
    if (seq % 10 === 5) entries.push(hidden(seq, ++seq))
    else entries.push(message(seq))
  }
  fc.assert(
    fc.property(fc.array(fc.nat({ max: entries.length - 1 }), { maxLength: 120 }), (arrivals) => {
      const timeline = new Timeline({ seq: 0, ord: 0 })
      const released: Entry[] = []
      for (const index of arrivals) {
        const entry = entries[index]!
        const mine = entry.kind === 'message' && index % 3 === 0
        const { ord: _, ...ack } = entry as Extract<Entry, { kind: 'message' }>
        released.push(...(mine ? timeline.offerOwn(ack) : timeline.offer(entry)))
      }
      timeline.raise(40)
      for (let hole = timeline.hole(); hole !== undefined; hole = timeline.hole()) {
        const { first, last } = hole
        for (const entry of entries) {
          if (lastOf(entry) >= first && firstOf(entry) <= last)
            released.push(...timeline.offer(entry))
        }
      }
      let next = 1
      for (const entry of released) {
        if (firstOf(entry) !== next) throw new Error(`${firstOf(entry)} came for ${next}`)
        next = lastOf(entry) + 1
      }
      if (next !== 41) throw new Error(`ended before ${next}`)
    }),
  )
})
