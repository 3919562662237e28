import t from 'tap'
import { FAULT_KINDS } from './faults.ts'
import { runKill } from './kill.ts'
import { inEachMode } from './mode.ts'

// Servers, a dozen commands and several restarts a seed.
t.setTimeout(1_800_000)

const SEEDS = { cursor: 11, queue: 12 }

inEachMode(t, async (t, mode) => {
  const faults = FAULT_KINDS.length
  const plan = { seed: SEEDS[mode], lines: 1_600, faults, mode, unlimited: true }
  const outcome = await runKill(plan, (line) => t.comment(line))
  t.same(outcome.violations, [], 'a text arrives complete, in order and once')
  t.equal(outcome.faultsLanded, faults, 'all struck while lines were on their way')
  t.equal(outcome.missing, 0)
  t.ok(outcome.acked > plan.lines + 1, 'the text, and what the crowd said')
})
