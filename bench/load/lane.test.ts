import t from 'tap'
import { newGroupId } from '../../lib/ids.ts'
import { LIMITS } from '../../lib/protocol/frames.ts'
import { Invariants } from '../../lib/testing/invariants.ts'
import { Lane } from './lane.ts'
import { RoomView } from './room-view.ts'
import { SendFrame } from './send-frame.ts'

const laneOf = (settled = 0) => {
  const id = newGroupId()
  const room = new Invariants().room(id)
  const frame = new SendFrame({ room: id, lineage: 1, join: 1, textBytes: 50, peer: null, lane: 0 })
  const outbox = room.outbox('a')
  for (let n = 1; n <= settled; n++) outbox.sent(n)
  return new Lane(0, new RoomView(id, room, room.reader('a')), frame, outbox, settled)
}

/** The bytes of command n, but for the request number. */
const bytesOf = (lane: Lane, n: number): string => {
  const into = new Uint8Array(lane.frame.most)
  const bytes = Buffer.from(into.buffer, 0, lane.write(into, 0, 0x10000, n))
  return bytes.toString('hex')
}

t.test('numbers go up; low is the lowest that is not settled', async (t) => {
  const lane = laneOf()
  t.ok(lane.idle)
  t.same([lane.begin(10), lane.begin(20), lane.begin(30)], [1, 2, 3])
  t.equal(lane.low, 1)
  t.equal(lane.oldestDue, 10)
  t.ok(lane.settle(2))
  t.notOk(lane.settle(2), 'settled before')
  t.equal(lane.low, 1)
  t.equal(lane.unsettled, 2)
  t.ok(lane.settle(1))
  t.equal(lane.low, 3)
  t.equal(lane.oldestDue, 30)
  t.ok(lane.settle(3))
  t.ok(lane.idle)
})

t.test('a lane may start after commands that are done already', async (t) => {
  const lane = laneOf(1)
  t.equal(lane.begin(0), 2)
  t.equal(lane.low, 2)
})

t.test('no more than the window, and never more than may be pipelined', async (t) => {
  const lane = laneOf()
  lane.window = 2
  lane.begin(0)
  t.ok(lane.canSend)
  lane.begin(0)
  t.notOk(lane.canSend)
  lane.window = Number.POSITIVE_INFINITY
  while (lane.canSend) lane.begin(0)
  t.equal(lane.n, LIMITS.pipeline)
})

t.test('a resend is the same bytes, though low has moved on', async (t) => {
  const lane = laneOf()
  for (const due of [1, 2, 3]) lane.begin(due)
  const before = bytesOf(lane, 3)
  lane.settle(1)
  lane.settle(2)
  t.equal(lane.low, 3)
  t.equal(bytesOf(lane, 3), before)
  lane.begin(4)
  t.not(bytesOf(lane, 4), before)
})

t.test('after a lost connection everything unsettled goes again, in order', async (t) => {
  const lane = laneOf()
  for (let i = 0; i < 5; i++) lane.begin(i)
  lane.settle(2)
  lane.refuseForNow(4, 0)
  t.same(lane.again(true), [1, 3, 4, 5])
  t.equal(lane.refused, 0)
})

t.test('what is refused for now waits until nothing else is in flight', async (t) => {
  const lane = laneOf()
  for (let i = 0; i < 4; i++) lane.begin(i)
  lane.refuseForNow(2, 500)
  lane.refuseForNow(3, 900)
  lane.refuseForNow(3, 2000)
  t.equal(lane.refused, 2)
  t.equal(lane.retryAt, 900)
  t.notOk(lane.canSend, 'nothing new meanwhile')
  t.same(lane.again(false), [])
  lane.settle(1)
  t.same(lane.again(false), [], '4 is still in flight')
  lane.refuseForNow(4, 0)
  t.same(lane.again(false), [2, 3, 4])
  t.ok(lane.canSend)
  t.same(lane.again(false), [], 'they are in flight again')
})

t.test('sends that wait keep their due times, however many', async (t) => {
  const lane = laneOf()
  const most = 5000
  for (let due = 0; due < most; due++) lane.wait(due)
  t.equal(lane.waiting, most)
  t.notOk(lane.idle)
  for (let due = 0; due < most - 3; due++) {
    if (lane.nextDue() !== due) t.fail(`not ${due}`)
  }
  t.equal(lane.oldestDue, most - 3)
  t.equal(lane.dropWaiting(), 3)
  t.equal(lane.nextDue(), undefined)
  t.ok(lane.idle)
})
