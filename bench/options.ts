/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util'
import type { Topology } from './servers/parley.ts'

export type BenchOptions = {
  readonly scenario: string
  readonly json: boolean
  readonly rounds: number
  /** Of the measured window, and of the load before it. */
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly topology: Topology
  readonly durability: 'A' | 'B'
  readonly generators: number
  readonly cpuProf: string | undefined
  readonly pairs: number | undefined
  readonly window: number | undefined
  readonly rates: readonly number[] | undefined
  /** Which of a scenario's shapes. */
  readonly shape: string | undefined
  readonly bytes: number
  readonly verify: 'full' | 'sampled'
  readonly seed: number
  readonly faults: number | undefined
  readonly save: boolean
  /** Run the stage probes first. */
  readonly probes: boolean
  /** Settings for `parley`, after `--`. */
  readonly settings: readonly string[]
}

export const HELP = `npm run bench -- SCENARIO [options] [-- settings of parley]

  --rounds N        fresh servers and data each; the median counts (3)
  --seconds S       of the measured window (10)
  --warm-up S       of load before it (3)
  --pairs N         pairs of users; --window N messages in flight each (closed loop)
  --rate A,B        messages a second, one window each (open loop)
  --shape NAME      of scenarios that have several
  --bytes N         of a text (100)
  --durability A|B  B: fsync before every ack
  --one-process     the gateway inside of \`parley up\`
  --generators N    processes that make the load (2)
  --verify full     compare every text, not one in 64
  --seed N          of whatever is random (1)
  --faults N        kill: how many
  --cpu-prof DIR    the servers write CPU profiles there
  --no-probes       leave out the stage probes, which tell what the machine allows
  --no-save         leave bench/results alone
  --json            end with one line of JSON`

const whole = (name: string, text: string, least = 1): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < least) {
    throw new Error(`--${name} must be a whole number from ${least}, not "${text}"`)
  }
  return value
}

const oneOf = <T extends string>(name: string, text: string, ...words: T[]): T => {
  const found = words.find((word) => word === text)
  if (found === undefined) throw new Error(`--${name} must be ${words.join(' or ')}, not "${text}"`)
  return found
}

/** @throws Error that says what is wrong */
export const readOptions = (args: readonly string[]): BenchOptions => {
  const split = args.indexOf('--')
  const own = split < 0 ? args : args.slice(0, split)
  const { values, positionals } = parseArgs({
    args: [...own],
    allowPositionals: true,
    allowNegative: true,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      json: { type: 'boolean', default: false },
      save: { type: 'boolean', default: true },
      probes: { type: 'boolean', default: true },
      'one-process': { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '10' },
      'warm-up': { type: 'string', default: '3' },
      durability: { type: 'string', default: 'A' },
      generators: { type: 'string', default: '2' },
      'cpu-prof': { type: 'string' },
      pairs: { type: 'string' },
      window: { type: 'string' },
      rate: { type: 'string' },
      shape: { type: 'string' },
      bytes: { type: 'string', default: '100' },
      verify: { type: 'string', default: 'sampled' },
      seed: { type: 'string', default: '1' },
      faults: { type: 'string' },
    },
  })
  const optional = (name: 'pairs' | 'window' | 'faults'): number | undefined =>
    values[name] === undefined ? undefined : whole(name, values[name])
  return {
    scenario: values.help ? '' : (positionals[0] ?? ''),
    json: values.json,
    save: values.save,
    probes: values.probes,
    rounds: whole('rounds', values.rounds),
    seconds: whole('seconds', values.seconds),
    warmUpSeconds: whole('warm-up', values['warm-up'], 0),
    topology: values['one-process'] ? 'one' : 'split',
    durability: oneOf('durability', values.durability, 'A', 'B'),
    generators: whole('generators', values.generators),
    cpuProf: values['cpu-prof'],
    pairs: optional('pairs'),
    window: optional('window'),
    rates: values.rate?.split(',').map((rate) => whole('rate', rate)),
    shape: values.shape,
    bytes: whole('bytes', values.bytes),
    verify: oneOf('verify', values.verify, 'full', 'sampled'),
    seed: whole('seed', values.seed, 0),
    faults: optional('faults'),
    settings: split < 0 ? [] : args.slice(split + 1),
  }
}
