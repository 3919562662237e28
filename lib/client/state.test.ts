import t from 'tap'
import {
  IN_SESSION,
  STATE_EVENTS,
  STATES,
  type State,
  type StateEvent,
  TRANSITIONS,
} from './state.ts'

const states = Object.keys(STATES) as State[]
const events = Object.keys(STATE_EVENTS) as StateEvent[]

t.test('every state knows every event, and leads to a state', async (t) => {
  t.strictSame(Object.keys(TRANSITIONS).sort(), [...states].sort())
  for (const state of states) {
    t.strictSame(Object.keys(TRANSITIONS[state]).sort(), [...events].sort(), state)
    for (const event of events) t.ok(TRANSITIONS[state][event] in STATES, `${state} ${event}`)
  }
})

t.test(
  'the app can close from everywhere, and come back from everywhere it is not under way',
  async (t) => {
    for (const state of states) t.equal(TRANSITIONS[state].close, 'closed', state)
    for (const state of ['idle', 'waiting', 'closed'] as const) {
      t.equal(TRANSITIONS[state].connect, 'authorizing', state)
    }
  },
)

t.test('closed is left by the app alone', async (t) => {
  for (const event of events) {
    if (event !== 'connect') t.equal(TRANSITIONS.closed[event], 'closed', event)
  }
})

t.test('only welcome opens a session', async (t) => {
  for (const state of states) {
    for (const event of events) {
      const to = TRANSITIONS[state][event]
      if (IN_SESSION[to] && !IN_SESSION[state]) t.equal(`${state} ${event}`, 'greeting welcomed')
    }
  }
})

t.test('what is lost is tried again, what is rejected is not', async (t) => {
  for (const state of states) {
    const underWay = state !== 'idle' && state !== 'waiting' && state !== 'closed'
    t.equal(TRANSITIONS[state].lost, underWay ? 'waiting' : state, `${state} lost`)
    t.equal(TRANSITIONS[state].rejected, underWay ? 'closed' : state, `${state} rejected`)
  }
})

t.test('every state can be reached, and the session from every state', async (t) => {
  const reached = new Set<State>(['idle'])
  for (const state of reached) for (const event of events) reached.add(TRANSITIONS[state][event])
  t.equal(reached.size, states.length)
  for (const start of states) {
    const from = new Set<State>([start])
    for (const state of from) for (const event of events) from.add(TRANSITIONS[state][event])
    t.ok(from.has('open'), start)
  }
})
