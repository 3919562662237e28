import t from 'tap'
import { eventually } from '../../lib/testing/eventually.ts'
import { nowUs } from './clock.ts'
import { Metronome } from './metronome.ts'

t.test('ticks not before their time, and stops', async (t) => {
  const metronome = new Metronome()
  t.teardown(() => metronome.end())
  const early: number[] = []
  let ticks = 0
  let due = nowUs() + 2000
  metronome.start(due, () => {
    ticks++
    // The thread may ring 10 µs early.
    if (nowUs() < due - 50) early.push(due - nowUs())
    due += 500
    return ticks < 20 ? due : undefined
  })
  await eventually('20 ticks', () => ticks === 20)
  t.same(early, [])
  let others = 0
  metronome.start(nowUs() + 60_000_000, () => {
    others++
    return undefined
  })
  // A start takes the place of what ran.
  metronome.start(nowUs(), () => ++ticks && undefined)
  await eventually('the second run ticks', () => ticks === 21)
  t.equal(others, 0)
  let stopped = 0
  metronome.start(nowUs() + 1000, () => {
    if (++stopped === 3) metronome.stop()
    return nowUs()
  })
  await eventually('three ticks', () => stopped === 3)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(stopped, 3)
})
