import t from 'tap'
import { Settling } from './floors.ts'

t.test('without a settling time a floor counts at once', async (t) => {
  const settling = new Settling(0)
  t.equal(settling.settled(5, 0), 5)
  t.equal(settling.settled(9, 0), 9)
})

t.test('a floor counts when it is old enough, and newer ones do not put it off', async (t) => {
  const settling = new Settling(100)
  t.equal(settling.settled(5, 0), 0)
  t.equal(settling.settled(8, 60), 0)
  t.equal(settling.settled(9, 99), 0)
  t.equal(settling.settled(12, 100), 5, '5 was stored 100 ms ago; of 8 and 9 that is not known')
  t.equal(settling.settled(20, 199), 5)
  t.equal(settling.settled(21, 200), 12)
  t.equal(settling.settled(21, 299), 12)
  t.equal(settling.settled(21, 300), 21)
  t.equal(settling.settled(21, 1000), 21)
})
