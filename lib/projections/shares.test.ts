import fc from 'fast-check'
import t from 'tap'
import { shareOf } from './shares.ts'

const shares = (members: string[], holders: (string | undefined)[]) =>
  members.map((id) => shareOf(id, new Set(members), holders, holders.length))

t.test('streams are shared evenly; what is left over stays where it is', async (t) => {
  t.same(shares(['a'], [undefined, undefined]), [2])
  t.same(shares(['a', 'b'], ['b', 'b', 'b', 'b']), [2, 2])
  t.same(shares(['a', 'b'], ['b', 'b', 'b']), [1, 2])
  t.same(shares(['a', 'b'], ['a', 'b', 'a']), [2, 1])
  t.same(shares(['a', 'b', 'c'], ['c']), [0, 0, 1], 'more processes than streams')
  t.equal(shareOf('x', new Set(['a']), ['a'], 1), 0, 'who is no member gets nothing')
})

t.test('shares differ by one at most, and are all there is', async (t) => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1 }),
      fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', undefined), { maxLength: 20 }),
      (members, holders) => {
        const its = shares(members, holders)
        const sum = its.reduce((all, one) => all + one, 0)
        return sum === holders.length && Math.max(...its) - Math.min(...its) <= 1
      },
    ),
  )
  t.pass()
})
