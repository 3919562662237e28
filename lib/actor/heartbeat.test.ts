import t from 'tap'
import type { Incarnation } from '../ids.ts'
import { type Beat, decodeBeat, encodeBeat, Hearing } from './heartbeat.ts'

const US = 'hus' as Incarnation
const OTHER = 'hother' as Incarnation
const WINDOW = 2500
const BEAT = 500

/** A hearing on a clock that is moved by hand. */
const stage = () => {
  let now = 1_000_000
  const clock = { now: () => 0, monotonic: () => now }
  const hearing = new Hearing(clock, US)
  return {
    hearing,
    pause: (ms: number) => {
      now += ms
    },
    /** Time passes, in which these are heard. */
    pass: (ms: number, ...heard: Incarnation[]) => {
      for (const end = now + ms; now < end; ) {
        now += BEAT
        for (const incarnation of heard) hearing.heard(incarnation)
      }
    },
  }
}

t.test('O1 who is not heard for a full window is silent', async (t) => {
  const { hearing, pass } = stage()
  hearing.expect(OTHER)
  pass(5000, US, OTHER)
  t.notOk(hearing.silent(OTHER))
  pass(2000, US)
  t.notOk(hearing.silent(OTHER))
  pass(500, US)
  t.ok(hearing.silent(OTHER))
  hearing.heard(OTHER)
  t.notOk(hearing.silent(OTHER), 'until it is heard again')
})

t.test('O1 the silence of a host counts from when it became known', async (t) => {
  const { hearing, pass } = stage()
  pass(10_000, US)
  t.notOk(hearing.silent(OTHER))
  pass(2000, US)
  t.notOk(hearing.silent(OTHER))
  hearing.welcome(OTHER)
  pass(2000, US)
  t.notOk(hearing.silent(OTHER), 'or from when it came back')
  pass(500, US)
  t.ok(hearing.silent(OTHER))
})

t.test('O1 nobody is judged before a full window of hearing oneself', async (t) => {
  const { hearing, pass } = stage()
  hearing.expect(OTHER)
  pass(10_000)
  t.notOk(hearing.silent(OTHER), 'nothing was heard at all')
  pass(2500, US)
  t.notOk(hearing.silent(OTHER))
  pass(500, US)
  t.ok(hearing.silent(OTHER))
})

t.test('O1 a host that was paused does not judge by what it missed', async (t) => {
  const { hearing, pass, pause } = stage()
  pass(5000, US, OTHER)
  pause(30_000)
  t.notOk(hearing.silent(OTHER), 'before it hears itself')
  hearing.heard(US)
  t.notOk(hearing.silent(OTHER), 'nor when it does')
  pass(2000, US)
  t.notOk(hearing.silent(OTHER))
  pass(500, US)
  t.ok(hearing.silent(OTHER), 'but a full window later')
})

t.test('O1 a reconnect starts the window anew', async (t) => {
  const { hearing, pass } = stage()
  pass(5000, US, OTHER)
  pass(2000, US)
  hearing.gap()
  pass(2000, US)
  t.notOk(hearing.silent(OTHER))
  pass(500, US)
  t.ok(hearing.silent(OTHER))
})

t.test('O1 a host is never silent to itself', async (t) => {
  const { hearing, pass } = stage()
  pass(10_000)
  t.notOk(hearing.silent(US))
})

t.test('those that are gone are forgotten', async (t) => {
  const { hearing, pass } = stage()
  const known = 'hknown' as Incarnation
  pass(500, US, OTHER, known)
  hearing.forget(new Set())
  t.ok(hearing.heardAt(OTHER) > 0, 'not at once: it may only be late')
  pass(11 * WINDOW, US)
  hearing.forget(new Set([known]))
  t.equal(hearing.heardAt(OTHER), Number.NEGATIVE_INFINITY)
  t.ok(hearing.heardAt(known) > 0)
})

t.test('heartbeats are read back, and what is none is refused', async (t) => {
  const beat: Beat = { incarnation: OTHER, host: 'one', view: 7, draining: true, starting: [1, 2] }
  t.same(decodeBeat(encodeBeat(beat)), beat)
  const utf8 = new TextEncoder()
  for (const text of ['', 'null', '[]', '{}', '{"incarnation":"a.b","host":"x"}', '{"host":"x"}']) {
    t.equal(decodeBeat(utf8.encode(text)), undefined, text)
  }
  const little = utf8.encode('{"incarnation":"hx","host":"x"}')
  t.match(decodeBeat(little), { view: 0, draining: false, starting: [] })
})
