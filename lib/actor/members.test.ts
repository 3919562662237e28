import t from 'tap'
import { toJson } from '../bus/cluster.ts'
import type { Incarnation } from '../ids.ts'
import { type Host, joining, NOBODY, readMembers, removing } from './members.ts'

const host = (name: string, run = 1, draining = false): Host => ({
  incarnation: `h${name}${run}` as Incarnation,
  host: name,
  draining,
})

t.test('O2 joining', async (t) => {
  const join = (self: Host, hosts: Host[], exclusive = false) => joining(self, exclusive)(hosts)
  t.same(join(host('b'), []), [host('b')])
  t.same(join(host('b'), [host('a'), host('c')]), [host('a'), host('b'), host('c')])
  t.equal(join(host('b'), [host('a'), host('b')]), undefined, 'it is in already')
  t.same(join(host('b', 2), [host('a'), host('b', 1)]), [host('a'), host('b', 2)], 'replaced')
  t.same(join(host('b', 1, true), [host('b')]), [host('b', 1, true)], 'draining')
  t.same(join(host('b'), [host('a'), host('c')], true), [host('b')], 'exclusive')
})

t.test('O2 removing', async (t) => {
  const dead = new Set([host('a').incarnation, host('x').incarnation])
  t.same(removing(dead)([host('a'), host('b')]), [host('b')])
  t.equal(removing(dead)([host('b')]), undefined)
})

t.test('an absent or deleted entry has no members', async (t) => {
  t.same(readMembers(undefined), NOBODY)
  t.same(readMembers({ key: 'members', value: undefined, revision: 3 }), NOBODY)
  const members = { view: 3, hosts: [host('a')] }
  t.same(readMembers({ key: 'members', value: toJson(members), revision: 3 }), members)
})
