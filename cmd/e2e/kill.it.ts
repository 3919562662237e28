import t from 'tap'
import { runKill } from './kill.ts'

// Servers, a dozen commands and several restarts a seed.
t.setTimeout(600_000)

for (const [seed, kinds, delivery] of [
  [11, ['up', 'nats'], 'cursor'],
  [12, ['all', 'drain'], 'queue'],
] as const) {
  t.test(
    `a text arrives complete, in order and once through ${kinds.join(' and ')}, ${delivery}`,
    async (t) => {
      const plan = { seed, lines: 1_200, faults: 2, kinds, delivery, unlimited: true }
      const outcome = await runKill(plan, (line) => t.comment(line))
      t.same(outcome.violations, [])
      t.equal(outcome.faultsLanded, 2, 'both struck while lines were on their way')
      t.ok(outcome.acked > 1_201, 'the text, and what the crowd said')
    },
  )
}
