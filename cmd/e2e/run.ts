/** `npm run e2e -- SCENARIO [options]`: the whole house in processes of its own, judged by the invariants. */
import { parseArgs } from 'node:util'
import { FAULT_KINDS, FAULTS, type FaultKind } from './faults.ts'
import { type KillOutcome, runKill } from './kill.ts'
import { MODES, type Mode } from './mode.ts'
import { verdictOf, wordOf } from './verdict.ts'

const HELP = `npm run e2e -- kill [options]

  --seeds N     runs, of the seeds 1 to N (4): odd seeds with devices that keep a cursor, even ones with devices that
                have durable queues
  --seed S      only this one, to run a failed one again
  --lines N     of the text that is piped through \`send -\` (10000)
  --faults N    in each run (6)
  --kinds A,B   of these only
  --mode M      all with devices of this mode: ${MODES.join(', ')}
  --json        end with one line {"scenario","seeds","faultsLanded","acked","violations"}

Exits with 1 when something was violated or lines are missing, or when in some seed no fault landed.

Faults:
${Object.entries(FAULTS)
  .map(([kind, doc]) => `  ${kind.padEnd(12)}${doc}`)
  .join('\n')}`

const say = (line: string): void => void process.stderr.write(`${line}\n`)

const whole = (name: string, text: string): number => {
  const value = Number(text)
  if (/^\d+$/.test(text) && value > 0) return value
  throw new Error(`--${name} must be a whole number from 1 on, not "${text}"`)
}

const kindsOf = (text: string): FaultKind[] =>
  text.split(',').map((word) => {
    const kind = FAULT_KINDS.find((one) => one === word)
    if (kind === undefined) throw new Error(`--kinds are of ${FAULT_KINDS.join(', ')}: "${word}"`)
    return kind
  })

const modeOf = (text: string | undefined): Mode | undefined => {
  const mode = MODES.find((one) => one === text)
  if (text === undefined || mode !== undefined) return mode
  throw new Error(`--mode is one of ${MODES.join(', ')}: "${text}"`)
}

const readOptions = (args: readonly string[]) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seeds: { type: 'string', default: '4' },
      seed: { type: 'string' },
      lines: { type: 'string', default: '10000' },
      faults: { type: 'string', default: '6' },
      kinds: { type: 'string', default: FAULT_KINDS.join(',') },
      mode: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const seeds = whole('seeds', values.seeds)
  return {
    scenario: positionals[0] ?? '',
    seeds:
      values.seed === undefined
        ? Array.from({ length: seeds }, (_, i) => i + 1)
        : [whole('seed', values.seed)],
    lines: whole('lines', values.lines),
    faults: whole('faults', values.faults),
    kinds: kindsOf(values.kinds),
    mode: modeOf(values.mode),
    json: values.json,
    help: values.help,
  }
}

const main = async (): Promise<boolean> => {
  const { scenario, seeds, json, help, ...plan } = readOptions(process.argv.slice(2))
  if (scenario !== 'kill' || help) {
    say(HELP)
    return scenario === '' || help
  }
  const outcomes: KillOutcome[] = []
  for (const seed of seeds) {
    const mode = plan.mode ?? MODES[(seed - 1) % MODES.length]!
    // Of each mode, every other seed runs into the server's rates, as a newcomer would.
    const unlimited = Math.floor(seed / 2) % 2 === 1
    const outcome = await runKill({ ...plan, seed, mode, unlimited }, say).catch(
      (error: Error): KillOutcome => {
        const violations = [error.message]
        return { seed, faultsLanded: 0, acked: 0, missing: 0, violations, total: 1 }
      },
    )
    outcomes.push(outcome)
    for (const words of outcome.violations) say(`seed ${seed}: VIOLATION ${words}`)
    const { acked, faultsLanded } = outcome
    say(`seed ${seed}: ${mode}, ${acked} acked, ${faultsLanded} faults landed, ${wordOf(outcome)}`)
  }
  const { result, passed } = verdictOf(scenario, outcomes)
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`)
  return passed
}

try {
  process.exitCode = (await main()) ? 0 : 1
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
