import t from 'tap'
import { ERRORS, type ErrorCode, ParleyError } from '../errors.ts'
import type { RoomId } from '../ids.ts'
import { readFrames } from '../protocol/codec.ts'
import type { Frame } from '../protocol/frames.ts'
import { frameOf } from './command.ts'
import { Lane } from './lane.ts'
import { freshSlot, restoredSlot, type Slot } from './slot.ts'
import { VERDICTS } from './verdicts.ts'

const ROOM = 'groom-of-two' as RoomId

const slot = (key: number): Slot =>
  freshSlot({
    key,
    command: { name: 'send', room: ROOM, text: `t${key}`, peer: null },
    after: 0,
    at: 0,
  })

const laneOf = (count: number): Lane => {
  const lane = new Lane()
  for (let key = 1; key <= count; key++) lane.add(slot(key))
  return lane
}

/** Numbers and stores what it may. */
const number = (lane: Lane, lineage = 7, join = 0): Slot[] => {
  const numbered = lane.number(lineage, join)
  if (typeof numbered === 'string') return []
  for (const one of numbered) one.stored = true
  return numbered
}

let req = 0
const sendAll = (lane: Lane, now = 0): Slot[] => {
  const sent: Slot[] = []
  for (let next = lane.due(now); next !== undefined; next = lane.due(now)) {
    lane.sent(next, ++req)
    sent.push(next)
  }
  return sent
}

const refused = (code: ErrorCode, detail?: string, retryAfterMs = 0) => ({
  kind: 'error' as const,
  error: new ParleyError(code, { retryAfterMs, ...(detail === undefined ? {} : { detail }) }),
})
const ack = (seq: number) => ({ kind: 'ack' as const, ack: { seq, id: `${seq}`, time: seq } })
const numbersOf = (slots: readonly Slot[]) => slots.map((one) => one.numbers?.n)
const tell = (lane: Lane, one: Slot, told: Parameters<Lane['told']>[2], now = 0) =>
  lane.told(one, one.req, told, now, 0)

const frameIn = (one: Slot): Frame<'send'> => {
  const [frame] = readFrames(frameOf('send', 1, one.tail!))
  if (frame?.name !== 'send') throw new Error('not a send')
  return frame
}

t.test('N1 numbers are 1, 2, 3 … and at most 32 are unsettled', async (t) => {
  const lane = laneOf(40)
  const numbered = number(lane)
  t.strictSame(
    numbersOf(numbered),
    Array.from({ length: 32 }, (_, i) => i + 1),
  )
  t.equal(lane.number(7, 0), 'nothing')
  t.equal(sendAll(lane).length, 32)
  t.strictSame(tell(lane, numbered[0]!, ack(1)), { seq: 1, id: '1', time: 1 })
  t.strictSame(numbersOf(number(lane)), [33])
  t.equal(frameIn(lane.slots.find((one) => one.numbers?.n === 33)!).low, 2)
})

t.test('N1 the span of numbers counts, not how many are unsettled', async (t) => {
  const lane = laneOf(40)
  const numbered = number(lane)
  sendAll(lane)
  for (const one of numbered.slice(1)) tell(lane, one, ack(one.numbers!.n))
  t.equal(lane.number(7, 0), 'nothing', 'number 33 would be 32 past number 1')
  tell(lane, numbered[0]!, ack(1))
  t.equal(number(lane).length, 8)
})

t.test('N1 nothing is sent before its number is stored', async (t) => {
  const lane = laneOf(2)
  const numbered = lane.number(7, 0) as Slot[]
  t.equal(lane.due(0), undefined)
  numbered[0]!.stored = true
  t.equal(lane.due(0), numbered[0])
  lane.sent(numbered[0]!, ++req)
  t.equal(lane.due(0), undefined, 'the second is not stored')
})

t.test('N1 another join needs another lineage, after what is under way', async (t) => {
  const lane = laneOf(2)
  number(lane, 7, 3)
  lane.add(slot(3))
  t.equal(lane.number(7, 9), 'lineage')
  t.equal(lane.number(8, 9), 'nothing', 'the old ones are settled first')
  sendAll(lane)
  for (const one of [...lane.slots.slice(0, 2)]) tell(lane, one, ack(one.numbers!.n))
  t.strictSame(number(lane, 8, 9)[0]?.numbers, { lineage: 8, join: 9, n: 1 })
})

t.test('N1 without a join it asks for it, but a group is made with join 0', async (t) => {
  t.equal(laneOf(1).number(7, undefined), 'join')
  const lane = new Lane()
  const create = {
    name: 'create',
    room: ROOM,
    title: 'x',
    openHistory: false,
    members: [],
  } as const
  lane.add(freshSlot({ key: 1, command: create, after: 0, at: 0 }))
  t.strictSame(number(lane, 7, undefined)[0]?.numbers, { lineage: 7, join: 0, n: 1 })
})

t.test('N3 after a cut all goes again, in order, with the same bytes', async (t) => {
  const lane = laneOf(5)
  const bytes = number(lane).map((one) => Buffer.from(one.tail!).toString('hex'))
  sendAll(lane)
  for (const one of [...lane.slots]) tell(lane, one, { kind: 'lost' })
  const again = sendAll(lane)
  t.strictSame(numbersOf(again), [1, 2, 3, 4, 5])
  t.strictSame(
    again.map((one) => Buffer.from(one.tail!).toString('hex')),
    bytes,
  )
})

t.test('N3 after a refusal for now it waits, then goes on from there', async (t) => {
  const lane = laneOf(4)
  const [one, two, three, four] = number(lane)
  sendAll(lane)
  tell(lane, one!, ack(1))
  tell(lane, two!, refused('overloaded', undefined, 500), 1_000)
  tell(lane, three!, refused('out_of_order', '2'), 1_000)
  tell(lane, four!, refused('out_of_order', '2'), 1_000)
  t.strictSame(sendAll(lane, 1_499), [])
  t.strictSame(numbersOf(sendAll(lane, 2_000)), [2, 3, 4])
})

t.test('N3 pressure is eased once for a flight of refusals, and grows back', async (t) => {
  const lane = laneOf(200)
  const numbered = number(lane)
  sendAll(lane)
  for (const one of numbered) tell(lane, one, refused('rate', undefined, 100), 0)
  t.equal(sendAll(lane, 1_000).length, 16)
  for (let round = 0; round < 60; round++) {
    for (const one of lane.slots.filter((each) => each.req !== 0)) tell(lane, one, ack(1), 1_000)
    number(lane)
    sendAll(lane, 1_000)
    if (lane.slots.length === 0) break
  }
  t.equal(lane.slots.length, 0)
})

t.test('N3 a late refusal for now of an earlier attempt changes nothing', async (t) => {
  const lane = laneOf(2)
  number(lane)
  const [one] = sendAll(lane)
  const old = one!.req
  tell(lane, one!, { kind: 'lost' })
  sendAll(lane)
  lane.told(one!, old, refused('overloaded', undefined, 5_000), 0, 0)
  t.equal(lane.pausedUntil, 0)
  t.equal(lane.due(0), undefined, 'both are on their way')
})

t.test('N3 a late ack of an earlier attempt settles', async (t) => {
  const lane = laneOf(1)
  number(lane)
  const [one] = sendAll(lane)
  const old = one!.req
  tell(lane, one!, { kind: 'lost' })
  sendAll(lane)
  t.match(lane.told(one!, old, ack(4), 0, 0), { seq: 4 })
  t.equal(lane.told(one!, one!.req, ack(4), 0, 0), undefined, 'once')
})

t.test('N3 out of order goes back to the number that is missing', async (t) => {
  const lane = laneOf(6)
  const numbered = number(lane)
  sendAll(lane)
  tell(lane, numbered[3]!, refused('out_of_order', '2'))
  t.strictSame(numbersOf(sendAll(lane)), [2, 3, 4, 5, 6])
  tell(lane, numbered[5]!, refused('out_of_order', 'no number'))
  t.strictSame(numbersOf(sendAll(lane, 60_000)), [1, 2, 3, 4, 5, 6])
})

t.test('N3 the same number missing again and again is not asked for without a pause', async (t) => {
  const lane = laneOf(3)
  const numbered = number(lane)
  sendAll(lane)
  tell(lane, numbered[2]!, refused('out_of_order', '1'))
  t.equal(sendAll(lane).length, 3)
  tell(lane, numbered[2]!, refused('out_of_order', '1'))
  t.strictSame(sendAll(lane), [])
  t.equal(sendAll(lane, 60_000).length, 3)
})

t.test('N3 missing what was refused unrecorded: in doubt, then a new lineage', async (t) => {
  const lane = laneOf(3)
  const numbered = number(lane)
  sendAll(lane)
  t.equal((tell(lane, numbered[0]!, refused('too_large')) as ParleyError).code, 'too_large')
  tell(lane, numbered[1]!, refused('out_of_order', '1'))
  t.equal(lane.doubtful(), undefined, 'a reply is outstanding')
  t.equal(lane.due(0), undefined, 'nothing is sent in doubt')
  t.equal(lane.number(9, 0), 'nothing')
  tell(lane, numbered[2]!, refused('out_of_order', '1'))
  t.strictSame(lane.doubtful(), [numbered[1], numbered[2]])
  t.equal(lane.resolve(new Map()).size, 0)
  t.equal(lane.number(7, 0), 'lineage', 'the same one can’t go on')
  const anew = number(lane, 9)
  t.strictSame(
    anew.map((one) => [one.numbers?.lineage, one.numbers?.n]),
    [
      [9, 1],
      [9, 2],
    ],
  )
})

t.test(
  'N4 an unknown lineage: what the history has is settled, the rest goes in a new one',
  async (t) => {
    const lane = laneOf(3)
    const numbered = number(lane)
    sendAll(lane)
    for (const one of numbered) tell(lane, one, refused('unknown_lineage'))
    const found = new Map([[numbered[0]!, { seq: 8, id: '8', time: 8 }]])
    t.strictSame([...lane.resolve(found).keys()], [numbered[0]])
    t.equal(lane.number(7, 0), 'lineage')
    t.strictSame(
      number(lane, 8).map((one) => one.key),
      [2, 3],
    )
  },
)

t.test('N4 those cut off in doubt are in doubt too', async (t) => {
  const lane = laneOf(2)
  const numbered = number(lane)
  sendAll(lane)
  tell(lane, numbered[0]!, refused('unknown_lineage'))
  tell(lane, numbered[1]!, { kind: 'lost' })
  t.strictSame(lane.doubtful(), numbered)
})

t.test('N3 settled: the history tells, and without it the command failed', async (t) => {
  const restored = restoredSlot({
    ...slot(1),
    at: 0,
    numbering: { lineage: 7, join: 0, n: 1, tail: btoa('x') },
  })
  const lane = new Lane()
  lane.tally = { lineage: 7, join: 0, n: 1, spent: false }
  lane.add(restored)
  sendAll(lane)
  tell(lane, restored, refused('settled'))
  t.strictSame(lane.doubtful(), [restored])
  const settled = lane.resolve(new Map())
  t.match(settled.get(restored), { code: 'settled' })
  lane.add(slot(2))
  t.strictSame(number(lane)[0]?.numbers, { lineage: 7, join: 0, n: 2 }, 'the lineage goes on')
})

t.test(
  'N3 settled at the first attempt: another outbox used the number, so it was never sent',
  async (t) => {
    const lane = laneOf(1)
    const [one] = number(lane)
    sendAll(lane)
    tell(lane, one!, refused('settled'))
    lane.doubtful()
    t.equal(lane.resolve(new Map()).size, 0)
    t.strictSame(number(lane, 8)[0]?.numbers, { lineage: 8, join: 0, n: 1 })
  },
)

t.test('N3 conflict: it is sent in a new lineage unless the history has it', async (t) => {
  const lane = laneOf(1)
  const [one] = number(lane)
  sendAll(lane)
  tell(lane, one!, refused('conflict'))
  lane.doubtful()
  lane.resolve(new Map())
  t.strictSame(number(lane, 8), [one])
})

t.test(
  'N1 a stale join fails for good, and the next one asks the room and takes a new lineage',
  async (t) => {
    const lane = laneOf(2)
    const numbered = number(lane, 7, 3)
    sendAll(lane)
    for (const one of numbered) tell(lane, one, refused('stale_join'))
    lane.doubtful()
    const settled = lane.resolve(new Map())
    t.strictSame(
      [...settled.values()].map((outcome) => (outcome as ParleyError).code),
      ['stale_join', 'stale_join'],
    )
    lane.add(slot(3))
    t.equal(lane.number(8, 3), 'join', 'the pointer may be old too')
    lane.join = 9
    lane.asks = false
    t.equal(lane.number(7, 3), 'lineage')
    t.strictSame(number(lane, 8, 3)[0]?.numbers, { lineage: 8, join: 9, n: 1 })
  },
)

t.test('N2 not a member: fails for good; what was never numbered can be taken back', async (t) => {
  const lane = laneOf(40)
  const numbered = number(lane, 7, 3)
  sendAll(lane)
  for (const one of numbered) {
    t.equal((tell(lane, one, refused('not_member')) as ParleyError).code, 'not_member')
  }
  t.equal(lane.number(8, 3), 'join')
  t.equal(lane.withdraw().length, 8)
  t.equal(lane.slots.length, 0)
})

t.test('every error code has a verdict that fits the table of errors', async (t) => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const verdict = VERDICTS[code]
    if (ERRORS[code].temporary) t.ok(verdict === 'again' || verdict === 'back', code)
    const lane = laneOf(1)
    number(lane)
    sendAll(lane)
    const outcome = tell(lane, lane.slots[0]!, refused(code, '1'))
    const final = verdict === 'refused' || verdict === 'outside'
    t.equal(outcome instanceof ParleyError, final, code)
    t.equal(lane.slots.length, final ? 0 : 1, code)
  }
})
