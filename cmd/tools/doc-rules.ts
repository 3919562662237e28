/** Which tests carry which rule of docs/CONTRACTS.md, by their titles: `L7 L9 another owner writes …`. */
import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { table } from './markdown.ts'

const ROOT = resolve(import.meta.dirname, '../..')

const upTo = (letter: string, first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, i) => `${letter}${first + i}`)

export const RULES: readonly string[] = [
  ...upTo('L', 0, 10),
  ...upTo('N', 1, 6),
  ...upTo('O', 1, 6),
  ...upTo('I', 1, 6),
  ...upTo('R', 1, 4),
  ...upTo('W', 1, 4),
]

/** A test's title as far as it cites rules; it may stand on the line after the call. */
const TITLE = /\bt\.test\(\s*['"`]((?:[LNOIRW]\d+ )+)/g

/** The rules that a test file cites, once for each title. */
export const citedIn = (source: string): string[] =>
  [...source.matchAll(TITLE)].flatMap(([, rules = '']) => rules.trim().split(' '))

export const ruleTests = (root = ROOT): string => {
  const files = new Map<string, Set<string>>(RULES.map((rule) => [rule, new Set()]))
  const patterns = ['test.ts', 'it.ts'].map((end) => `{actors,bench,cmd,lib,nats}/**/*.${end}`)
  for (const path of globSync([...patterns, 'lib/**/contract.ts'], { cwd: root }).sort()) {
    for (const rule of citedIn(readFileSync(join(root, path), 'utf8'))) {
      const its = files.get(rule)
      if (its === undefined)
        throw new Error(`${path} cites ${rule}, which docs/CONTRACTS.md has not`)
      its.add(path)
    }
  }
  const shown = (its: ReadonlySet<string>): string =>
    [...its].map((path) => `\`${path}\``).join(' · ') || 'none'
  return table(
    ['rule', 'tests'],
    [...files].map(([rule, its]) => [rule, shown(its)]),
  )
}
