import t from 'tap'
import { winner } from './rendezvous.ts'

const hosts = ['a', 'b', 'c', 'd'].map((host) => ({ host }))
const P = 64
const all = [...Array(P).keys()]
const spread = (of: readonly { host: string }[]) => all.map((p) => winner(p, of)!.host)

t.test('O2 every host computes the same, in whatever order it knows the others', async (t) => {
  t.same(spread([...hosts].reverse()), spread(hosts))
  t.equal(winner(0, []), undefined)
})

t.test('O2 who wins is part of what the hosts of a cluster agree on', async (t) => {
  // Computed apart, from the definition of the hash.
  t.equal(spread(hosts).slice(0, 32).join(''), 'aadadcbababdbacbdaccccccacbbccdd')
})

t.test('O2 each takes a fair part', async (t) => {
  for (const { host } of hosts) {
    const share = spread(hosts).filter((its) => its === host).length
    t.ok(share >= P / 8 && share <= P / 2.5, `${host} takes ${share} of ${P}`)
  }
})

t.test('O2 when a host goes, only its partitions move', async (t) => {
  const before = spread(hosts)
  const after = spread(hosts.slice(1))
  for (const p of all) if (before[p] !== 'a') t.equal(after[p], before[p])
})

t.test('O2 a host that starts again takes what it had', async (t) => {
  const again = hosts.map((its) => ({ ...its, incarnation: 'new' }))
  t.same(spread(again), spread(hosts))
})
