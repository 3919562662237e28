/**
 * Lines covered per folder, after `tap report json-summary`: `node cmd/tools/coverage-floor.ts`.
 * A file that no test loads is missing in that report; here it counts as uncovered.
 */
import { globSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { isTest } from './arrow-rules.ts'
import { withoutComments } from './imports.ts'

/** Percent of lines, for what a message goes through. */
export const FLOORS: Record<string, number> = {
  'actors/': 95,
  'lib/actor/': 95,
  'lib/protocol/': 95,
}

/** The part of istanbul's json-summary that is read, by absolute path. */
export type Summary = Record<string, { lines: { total: number; covered: number } }>

export type Result = {
  folder: string
  floor: number
  /** Percent; undefined where the folder holds no code. */
  percent: number | undefined
  /** Paths of files without any coverage. */
  unseen: string[]
  passed: boolean
}

/** Whether anything is left to run when the types are gone. */
export const hasCode = (source: string): boolean =>
  withoutComments(stripTypeScriptTypes(source))
    .replace(/\bexport\s*\{\s*\};?/g, '')
    .trim() !== ''

export function checkFloors(
  root: string,
  sources: ReadonlyMap<string, string>,
  summary: Summary,
  floors: Readonly<Record<string, number>> = FLOORS,
): Result[] {
  return Object.entries(floors).map(([folder, floor]) => {
    let total = 0
    let covered = 0
    const unseen: string[] = []
    for (const [path, source] of sources) {
      if (!path.startsWith(folder) || isTest(path)) continue
      const lines = summary[join(root, path)]?.lines
      if (lines) {
        total += lines.total
        covered += lines.covered
      } else if (hasCode(source)) {
        total += source.trimEnd().split('\n').length
        unseen.push(path)
      }
    }
    const percent = total === 0 ? undefined : (100 * covered) / total
    return { folder, floor, percent, unseen, passed: percent !== undefined && percent >= floor }
  })
}

function main(root: string) {
  const paths = globSync(
    Object.keys(FLOORS).map((folder) => `${folder}**/*.ts`),
    { cwd: root },
  )
  const sources = new Map(
    paths.map((path) => [path.replaceAll('\\', '/'), readFileSync(join(root, path), 'utf8')]),
  )
  const report = readFileSync(join(root, '.tap/report/coverage-summary.json'), 'utf8')
  for (const result of checkFloors(root, sources, JSON.parse(report) as Summary)) {
    const { folder, floor, percent, unseen, passed } = result
    const figure = percent === undefined ? 'no code' : `${percent.toFixed(1)} %`
    console.log(`${passed ? 'ok' : 'LOW'}  ${folder} ${figure} of lines (floor ${floor} %)`)
    for (const path of unseen) console.log(`     ${path} is loaded by no test`)
    if (!passed) process.exitCode = 1
  }
}

if (import.meta.main) main(process.cwd())
