/** Times small functions in turns, so that a slow minute of the machine hits all alike. */

export type Case = { readonly name: string; readonly run: (times: number) => void }
export type Row = {
  readonly name: string
  readonly ns: number
  readonly min: number
  readonly max: number
}

const ROUNDS = 9
const ROUND_MS = 40

/** Median, least and most ns per run of each case; `run(times)` does its work that often. */
export const measure = (cases: readonly Case[]): Row[] => {
  const plans = cases.map((it) => {
    let times = 1
    // Warm up, and find how many runs fill a round.
    for (;;) {
      const started = performance.now()
      it.run(times)
      if (performance.now() - started >= ROUND_MS) return { it, times, taken: [] as number[] }
      times *= 2
    }
  })
  for (let round = 0; round < ROUNDS; round++) {
    for (const { it, times, taken } of plans) {
      const started = performance.now()
      it.run(times)
      taken.push(((performance.now() - started) * 1e6) / times)
    }
  }
  return plans.map(({ it, taken }) => {
    taken.sort((a, b) => a - b)
    const [min, median, max] = [taken[0]!, taken[taken.length >> 1]!, taken.at(-1)!]
    return { name: it.name, ns: median, min, max }
  })
}

/** Prints a table, or with `--json` one line. */
export const report = (bench: string, rows: readonly Row[]): void => {
  const round = (ns: number) => Number((ns / 1000).toFixed(4))
  if (process.argv.includes('--json')) {
    const us = Object.fromEntries(rows.map((row) => [row.name, round(row.ns)]))
    console.log(JSON.stringify({ bench, node: process.version, us }))
    return
  }
  const wide = Math.max(...rows.map((row) => row.name.length))
  console.log(`${bench}: µs of one run, median (least … most of ${ROUNDS} rounds)`)
  for (const { name, ns, min, max } of rows) {
    const spread = `(${round(min).toFixed(3)} … ${round(max).toFixed(3)})`
    console.log(`  ${name.padEnd(wide)}  ${round(ns).toFixed(3).padStart(8)}  ${spread}`)
  }
}
