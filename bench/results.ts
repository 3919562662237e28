/** The result of a run: what is printed, and what bench/results/<scenario>.json keeps. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Percentiles } from './measure/histogram.ts'
import type { Machine } from './measure/machine.ts'
import { type Spread, significant, spread } from './measure/rounds.ts'
import type { Judged, Row } from './row.ts'

export type Round = { readonly rows: readonly Row[]; readonly judged: Judged }

/** Rows of one variant over all rounds; the row whose figure is the median stands for them. */
export type Summary = Row & {
  readonly rounds: number
  readonly perServerCpuSecondSpread: Spread
  readonly p99Spread: Spread | undefined
}

/** Rows of the same variant, in the order of the first round. */
export const summarize = (rounds: readonly Round[]): Summary[] => {
  const variants = [...new Set(rounds.flatMap(({ rows }) => rows.map((row) => row.variant)))]
  return variants.map((variant) => {
    const rows = rounds.flatMap((round) => round.rows.filter((row) => row.variant === variant))
    const byFigure = rows.toSorted((a, b) => a.perServerCpuSecond - b.perServerCpuSecond)
    const middle = byFigure[(byFigure.length - 1) >> 1]!
    const p99 = rows.flatMap((row) => (row.ack === undefined ? [] : [row.ack.p99]))
    return {
      ...middle,
      over: rows.some((row) => row.over),
      invalid: [...new Set(rows.flatMap((row) => row.invalid))],
      rounds: rows.length,
      perServerCpuSecondSpread: spread(rows.map((row) => row.perServerCpuSecond)),
      p99Spread: p99.length === 0 ? undefined : spread(p99),
    }
  })
}

const DISTURBED_CORES = 0.2

const ms = (value: number | undefined): string =>
  value === undefined ? 'over' : String(significant(value))

const latencies = (name: string, values: Percentiles | undefined): string =>
  values === undefined
    ? `${name} over`
    : `${name} p50 ${ms(values.p50)} p90 ${ms(values.p90)} p99 ${ms(values.p99)} p99.9 ${ms(values.p999)} max ${ms(values.max)} ms`

export const linesOf = (row: Row): string[] => {
  const us = Object.entries(row.usPerMessage).map(([role, value]) => `${role} ${value}`)
  const cores = Object.entries(row.cores).map(([role, value]) => `${role} ${value}`)
  return [
    `${row.variant}: ${row.perServerCpuSecond} ${row.figure} per server CPU-second at ${row.rate}/s (${row.deliveries} deliveries/s)`,
    `  µs of CPU a message: ${us.join(' + ')}; cores: ${cores.join(', ')}; generators ${row.generatorCores.join(', ')}`,
    `  ${latencies('ack', row.ack)}`,
    `  ${latencies('delivery', row.delivery)}`,
    ...(row.lag === undefined ? [] : [`  ${latencies('generator lag', row.lag)}`]),
    ...(row.othersCores > DISTURBED_CORES
      ? [`  DISTURBED: others used ${row.othersCores} cores; the latencies are not ours alone`]
      : []),
    ...row.invalid.map((why) => `  INVALID: ${why}`),
  ]
}

export const linesOfJudged = (judged: Judged): string[] => {
  const { acked, delivered, lost, duplicates, healed, compared, repeats } = judged
  const refusals = Object.entries(judged.refusals).map(([code, count]) => `${count} ${code}`)
  return [
    `  acked ${acked}, delivered ${delivered}, lost ${lost}, duplicates ${duplicates}; healed ${healed}, repeats ${repeats}, texts compared ${compared}`,
    ...(refusals.length === 0 ? [] : [`  refused for now: ${refusals.join(', ')}`]),
    ...judged.words.map((words) => `  VIOLATION ${words}`),
    ...judged.problems.map((problem) => `  PROBLEM ${problem}`),
  ]
}

export type ResultFile = {
  readonly scenario: string
  /** By variant and topology: the newest run of each. */
  readonly runs: Readonly<Record<string, unknown>>
}

const pathOf = (scenario: string): string =>
  fileURLToPath(new URL(`./results/${scenario}.json`, import.meta.url))

/** Puts runs beside those of other variants that the file holds. */
export const saveResult = (
  scenario: string,
  runs: Readonly<Record<string, { readonly machine: Machine }>>,
): string => {
  const path = pathOf(scenario)
  mkdirSync(fileURLToPath(new URL('./results/', import.meta.url)), { recursive: true })
  let known: ResultFile = { scenario, runs: {} }
  try {
    known = JSON.parse(readFileSync(path, 'utf8')) as ResultFile
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const file: ResultFile = { scenario, runs: { ...known.runs, ...runs } }
  writeFileSync(path, `${JSON.stringify(file, undefined, 2)}\n`)
  return path
}
