import t from 'tap'
import type { DeviceId } from '../ids.ts'
import { Hub } from './hub.ts'
import { FLOOD, Limits } from './limits.ts'
import type { Session } from './session.ts'

const RATES = { frameRate: 10, frameBurst: 20, byteRate: 1000, byteBurst: 2000 }
const hub = new Hub(100, 1000)

const open = (limits: Limits, device = 'v1', now = 0): Session => {
  const socket = { send: () => 1, end: () => {}, getBufferedAmount: () => 0 }
  const session = hub.open(socket, 'a', now)
  session.device = device as DeviceId
  limits.start(session)
  return session
}

t.test('a burst passes, then one frame each tenth of a second', async (t) => {
  const limits = new Limits(RATES)
  const session = open(limits)
  limits.message(session, 0, 0)
  for (let i = 0; i < 20; i++) t.equal(limits.frame(session), 0)
  t.equal(
    limits.frame(session),
    200,
    'the wait fills the debt and pays for the frame that comes again',
  )
  t.equal(limits.frame(session), 300)
  limits.message(session, 0, 300)
  t.equal(limits.frame(session), 0)
  t.equal(limits.frame(session), 200)
})

t.test('bytes are counted as well', async (t) => {
  const limits = new Limits(RATES)
  const session = open(limits)
  limits.message(session, 2500, 0)
  t.equal(limits.frame(session), 500)
  limits.message(session, 0, 500)
  t.equal(limits.frame(session), 0)
})

t.test('an overdraft of a burst is a flood', async (t) => {
  const limits = new Limits(RATES)
  const session = open(limits)
  limits.message(session, 0, 0)
  for (let i = 0; i < 40; i++) t.not(limits.frame(session), FLOOD)
  t.equal(limits.frame(session), FLOOD)
})

t.test('who comes again finds the bucket as it was left, or filled since', async (t) => {
  const limits = new Limits(RATES)
  const first = open(limits)
  limits.message(first, 0, 0)
  for (let i = 0; i < 30; i++) limits.frame(first)
  limits.remember(first)
  const again = open(limits, 'v1', 500)
  limits.recall(again, 500)
  limits.message(again, 0, 500)
  t.equal(
    limits.frame(again),
    200,
    'empty: 5 gained do not pay for 10 over, but the rest is forgiven',
  )
  const soon = open(limits, 'v1', 1500)
  limits.recall(soon, 1500)
  t.equal(soon.frames, 5)
  const other = open(limits, 'v2', 500)
  limits.recall(other, 500)
  t.equal(limits.frame(other), 0, 'another device has its own')
  const late = open(limits, 'v1', 60_000)
  limits.recall(late, 60_000)
  t.equal(limits.frame(late), 0)
  limits.remember(late)
  const fresh = open(limits, 'v1', 60_000)
  limits.recall(fresh, 60_000)
  t.equal(fresh.frames, 20, 'a full bucket is not remembered')
})
