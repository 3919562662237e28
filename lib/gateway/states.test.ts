import t from 'tap'
import { EVENTS, type SessionEvent, STATES, TABLE } from './states.ts'

const events = Object.keys(EVENTS) as SessionEvent[]

t.test('every event in every state leads to a known state', async (t) => {
  for (const state of STATES) {
    t.strictSame(Object.keys(TABLE[state]).sort(), [...events].sort(), state)
    for (const event of events) {
      t.ok(STATES.includes(TABLE[state][event].state), `${state} ${event}`)
    }
  }
})

t.test('whatever ends a session leaves it closed, and closed is final', async (t) => {
  for (const state of STATES) {
    for (const event of events) {
      const next = TABLE[state][event]
      const ends = next.action === 'close' || next.action === 'forget'
      t.equal(next.state === 'closed', ends || state === 'closed', `${state} ${event}`)
    }
  }
  for (const event of events) {
    const { action } = TABLE.closed[event]
    t.equal(action, event === 'gone' ? 'forget' : 'ignore', `closed ${event}`)
  }
})

t.test('frames are handled in an open session only, and nothing else opens one', async (t) => {
  for (const state of STATES) {
    t.equal(TABLE[state].request.action === 'handle', state === 'open', state)
    for (const event of events) {
      const opens = TABLE[state][event].state === 'open' && state !== 'open'
      t.equal(opens, state === 'asking' && event === 'admitted', `${state} ${event}`)
    }
  }
})

t.test('an open session ends on what ends it, and on nothing else', async (t) => {
  const ends = events.filter((event) => TABLE.open[event].state === 'closed')
  t.strictSame(ends, [
    'hello',
    'malformed',
    'silent',
    'overflow',
    'flood',
    'failed',
    'kicked',
    'gone',
  ])
  t.equal(TABLE.open.drain.action, 'goaway')
  t.equal(TABLE.opening.late.action, 'close')
  t.equal(TABLE.asking.late.action, 'ignore', 'the wait for the actor is the router’s to end')
})
