import t from 'tap'
import { toJson } from './cluster.ts'
import { readFloor, trimFloor } from './projections.ts'

t.test('a floor of whatever a key holds', async (t) => {
  const nothing = { epoch: 0, position: 0, rebuilt: 0 }
  t.same(readFloor(undefined), nothing)
  t.same(readFloor(toJson('what')), nothing)
  t.same(readFloor(toJson(null)), nothing)
  t.same(readFloor(toJson(17)), { ...nothing, position: 17 }, 'of before there were leases')
  const floor = { epoch: 3, position: 9, rebuilt: 1 }
  t.same(readFloor(toJson(floor)), floor)
})

t.test('L0 what a rebuild has yet to read is not trimmed', async (t) => {
  const floor = { epoch: 3, position: 9, rebuilt: 1 }
  t.equal(trimFloor(floor), 9)
  t.equal(trimFloor({ ...floor, rebuild: { number: 2, at: 0, until: 0 } }), 0)
  t.equal(trimFloor({ ...floor, rebuild: { number: 2, at: 4, until: 12 } }), 4)
  t.equal(trimFloor({ ...floor, rebuild: { number: 2, at: 11, until: 12 } }), 9)
})
