import t from 'tap'
import type { KillOutcome } from './kill.ts'
import { verdictOf, wordOf } from './verdict.ts'

const outcome = (more: Partial<KillOutcome> = {}): KillOutcome => ({
  ...{ seed: 1, faultsLanded: 3, acked: 100, missing: 0, violations: [], total: 0 },
  ...more,
})

t.test('runs that passed, in one line', async (t) => {
  const { result, passed } = verdictOf('kill', [outcome(), outcome({ faultsLanded: 2, acked: 50 })])
  t.ok(passed)
  t.equal(
    JSON.stringify(result),
    '{"scenario":"kill","seeds":2,"faultsLanded":5,"acked":150,"violations":0}',
  )
  t.equal(wordOf(outcome()), 'ok')
})

const FAILED: readonly [string, readonly KillOutcome[]][] = [
  ['a violation', [outcome(), outcome({ violations: ['lost: …'], total: 1 })]],
  ['a seed in which no fault landed', [outcome(), outcome({ faultsLanded: 0 })]],
  ['lines that are missing', [outcome({ missing: 1 })]],
  ['no run at all', []],
]
for (const [what, outcomes] of FAILED) {
  t.test(`${what} fails them`, async (t) => {
    t.notOk(verdictOf('kill', outcomes).passed)
  })
}

t.test('a run without a fault counts as not run', async (t) => {
  const idle = outcome({ faultsLanded: 0 })
  t.equal(wordOf(idle), 'NOT RUN')
  t.equal(verdictOf('kill', [outcome(), idle]).result.seeds, 1)
})
