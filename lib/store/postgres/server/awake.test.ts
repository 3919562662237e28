import t from 'tap'
import { eventually } from '../../../testing/eventually.ts'
import { afterAwake } from './awake.ts'

t.test('it aborts when the time is over, unless it is ended before', async (t) => {
  const wait = afterAwake(50)
  const ended = afterAwake(50)
  ended.end()
  await eventually('the time is over', () => wait.signal.aborted)
  t.notOk(ended.signal.aborted)
})

t.test('time in which this process is busy does not count', async (t) => {
  const wait = afterAwake(200)
  t.teardown(() => wait.end())
  const until = performance.now() + 400
  while (performance.now() < until);
  // Several turns of the loop, timers included.
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve))
  t.notOk(wait.signal.aborted)
})
