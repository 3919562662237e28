/** `npm run bench -- SCENARIO [options]`: starts its own servers, loads them, verifies, measures. */
import { runKill } from './chaos/kill.ts'
import { type Machine, machine } from './measure/machine.ts'
import { significant, spread } from './measure/rounds.ts'
import { type BenchOptions, HELP, readOptions } from './options.ts'
import { floorMs, limitOf, type ProbeResults } from './probes/probe.ts'
import { runProbes } from './probes/run-probes.ts'
import { linesOf, linesOfJudged, type Round, saveResult, summarize } from './results.ts'
import { isCorrect, judgedOf } from './row.ts'
import { SCENARIOS } from './scenarios/all.ts'
import type { Scenario } from './scenarios/scenario.ts'
import { killAll } from './servers/process.ts'
import { Stage } from './stage.ts'

const say = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

/** Results; progress goes to stderr, and with --json all but the last line. */
const tell = (options: BenchOptions, lines: readonly string[]): void => {
  for (const line of lines) (options.json ? process.stderr : process.stdout).write(`${line}\n`)
}

const KILL = 'kill'

type Run = {
  readonly rounds: readonly Round[]
  readonly machine: Machine
  readonly probes: ProbeResults | undefined
}

const runRounds = async (scenario: Scenario, options: BenchOptions): Promise<Run> => {
  const rounds: Round[] = []
  const probes = options.probes ? await probe(options) : undefined
  let where: Machine | undefined
  for (let round = 1; round <= options.rounds; round++) {
    say(`round ${round} of ${options.rounds}`)
    const stage = await Stage.open(
      options,
      { ...scenario.cast(options), resilient: false },
      (line) => say(`  ${line}`),
    )
    try {
      where ??= machine(await stage.parley.natsVersion())
      const rows = await scenario.measure(stage, options, (line) => say(`  ${line}`))
      const judged = judgedOf(await stage.finish({ history: false, settled: true }))
      tell(options, [...rows.flatMap(linesOf), ...linesOfJudged(judged)])
      rounds.push({ rows, judged })
    } finally {
      await stage.end()
    }
  }
  return { rounds, machine: where!, probes }
}

/** What the machine allows, in the same session (method: percent of limit). */
const probe = (options: BenchOptions): Promise<ProbeResults> => {
  const { pairs = 50, window = 16, durability } = options
  const sync = durability === 'B' ? 'always' : 'default'
  const at = options.settings.indexOf('--nats-server')
  const serverPath = at < 0 ? process.env.PARLEY_NATS_SERVER : options.settings[at + 1]
  return runProbes({ pairs, window, sync, serverPath }, say)
}

const report = (scenario: Scenario, options: BenchOptions, run: Run): boolean => {
  const rows = summarize(run.rounds)
  const main = scenario.main(rows)
  const total = (pick: (round: Round) => number): number =>
    run.rounds.reduce((sum, round) => sum + pick(round), 0)
  const correct = run.rounds.every(({ judged }) => isCorrect(judged))
  const invalid = [...new Set(rows.flatMap((row) => row.invalid))]
  const { topology, durability, bytes, rounds, seconds, generators, seed } = options
  const limit = run.probes === undefined ? undefined : limitOf(run.probes)
  const allowed = run.probes && {
    limit: significant(limit!),
    floorMs: significant(floorMs(run.probes)),
  }
  const percentOfLimit =
    limit === undefined || main?.figure !== 'messages'
      ? undefined
      : significant((100 * main.perServerCpuSecond) / limit)
  const about = { topology, durability, bytes, rounds, seconds, generators, seed }
  const result = {
    scenario: scenario.name,
    variant: main?.variant,
    perServerCpuSecond: main?.perServerCpuSecond,
    rate: main?.rate,
    p50: main?.ack?.p50,
    p99: main?.ack?.p99,
    deliveryP50: main?.delivery?.p50,
    deliveryP99: main?.delivery?.p99,
    lost: total(({ judged }) => judged.lost),
    duplicates: total(({ judged }) => judged.duplicates),
    violations: total(({ judged }) => Object.values(judged.violations).reduce((a, b) => a + b, 0)),
    ok: correct && invalid.length === 0,
    invalid,
    usPerMessage: main?.usPerMessage,
    othersCores: main?.othersCores,
    min: main?.perServerCpuSecondSpread.min,
    max: main?.perServerCpuSecondSpread.max,
    percentOfLimit,
    ...allowed,
    rows: rows.map((row) => ({
      variant: row.variant,
      perServerCpuSecond: row.perServerCpuSecond,
      rate: row.rate,
      ...{ p50: row.ack?.p50, p99: row.ack?.p99, p999: row.ack?.p999, over: row.over },
    })),
    ...about,
  }
  if (options.rounds > 1) {
    tell(options, [`median of ${options.rounds} rounds`, ...rows.flatMap(linesOf)])
  }
  if (percentOfLimit !== undefined) {
    const { limit: most, floorMs: least } = allowed!
    tell(options, [
      `${percentOfLimit} % of the ${most} that the probes allow; their floor ${least} ms`,
    ])
  }
  if (options.save) {
    const runs = rows.map((row) => {
      const judged = run.rounds.map((round) => round.judged)
      const { probes } = run
      const kept = {
        ...about,
        ...row,
        ...allowed,
        probes,
        judged,
        method: scenario.method,
        machine: run.machine,
      }
      return [`${row.variant} ${topology} ${durability} ${bytes}B`, kept] as const
    })
    say(`kept in ${saveResult(scenario.name, Object.fromEntries(runs))}`)
  }
  if (!correct) tell(options, ['FAILED: violations or problems, see above'])
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`)
  return result.ok
}

/** One JSON line: {"scenario":"kill","faultsLanded",…}. */
const reportKill = async (options: BenchOptions): Promise<boolean> => {
  const {
    machine: where,
    rate,
    faults,
    faultsLanded,
    settled,
    judged,
  } = await runKill(options, say)
  const took = faults.flatMap(({ normalMs }) => (normalMs === undefined ? [] : [normalMs]))
  const normal = took.length === 0 ? undefined : spread(took)
  // A run in which no fault landed counts as not run.
  const ok =
    isCorrect(judged) &&
    settled &&
    faultsLanded > 0 &&
    faults.every((one) => one.normalMs !== undefined)
  const { topology, durability, seed } = options
  const { acked, delivered, lost, duplicates, sessionsLost } = judged
  const result = {
    scenario: KILL,
    ...{ faults: faults.length, faultsLanded, acked, delivered, lost, duplicates },
    violations: Object.values(judged.violations).reduce((a, b) => a + b, 0),
    ...{ normalMs: normal, settled, ok, sessionsLost, rate, topology, durability, seed },
  }
  tell(options, linesOfJudged(judged))
  if (options.save) {
    const kept = { ...result, faults, judged, machine: where }
    say(`kept in ${saveResult(KILL, { [`${topology} ${durability} seed ${seed}`]: kept })}`)
  }
  if (!ok) tell(options, ['FAILED'])
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`)
  return ok
}

const main = async (): Promise<void> => {
  const options = readOptions(process.argv.slice(2))
  if (options.scenario === KILL) {
    if (!(await reportKill(options))) process.exitCode = 1
    return
  }
  const scenario = SCENARIOS.find(({ name }) => name === options.scenario)
  if (scenario === undefined) {
    say(HELP)
    const kill = {
      name: KILL,
      doc: 'kill -9 of each process under load: nothing acked is lost: --rate 4000 --faults 12',
    }
    for (const { name, doc } of [...SCENARIOS, kill]) say(`  ${name.padEnd(10)} ${doc}`)
    process.exitCode = options.scenario === '' ? 0 : 1
    return
  }
  if (!report(scenario, options, await runRounds(scenario, options))) process.exitCode = 1
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killAll()
    process.exit(130)
  })
}

try {
  await main()
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
